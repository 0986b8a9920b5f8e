-- Stage 3, windows: the windows of a few buckets of endpoints; the writer sorts by the actor's bucket.
SELECT actor_bucket AS bucket, hash,
       w['endpoint_requests_1min'] AS endpoint_requests_1min,
       w['endpoint_requests_5min'] AS endpoint_requests_5min,
       w['endpoint_failed_5min'] AS endpoint_failed_5min,
       w['endpoint_actors_10min'] AS endpoint_actors_10min
FROM (
    SELECT actor_bucket, hash, carried,
           api_endpoint_windows(endpoint, micros, actor, failed) OVER (ORDER BY endpoint, micros, hash) AS w
    FROM calls
    WHERE bucket >= {low} AND bucket < {high}
)
WHERE NOT carried
