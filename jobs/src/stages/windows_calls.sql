-- Stage 3, windows: what endpoints' windows need of a bucket's requests; the writer sorts by the endpoint's bucket.
SELECT cmd_bucket(CAST(endpoint AS VARCHAR), 4096) AS bucket, cmd_bucket(coalesce(actor, path), 4096) AS actor_bucket,
       hash, actor, micros, endpoint, failed, carried
FROM (
    SELECT hash, actor, path, CAST(event_time AS BIGINT) AS micros,
           api_endpoint(method, host, api_template(host, path, {templates})) AS endpoint,
           coalesce(status, 0) >= 400 OR coalesce(error_code, '') <> '' AS failed,
           {carried} AS carried
    FROM requests
)
