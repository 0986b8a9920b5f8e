-- Stage 4, models: the categorical values of the requests of a bucket with the smallest keys.
SELECT api_categories(r."user", r.session, r.client_ip, r.method, r.host, r.path, r.query, r.error_code, r.user_agent, r.referer, r.body,
                      r.headers, CAST(r.status AS BIGINT), r.request_bytes, r.response_bytes, CAST(r.latency_ms AS FLOAT), w.template,
                      w.previous_endpoint, r.hash) AS state
FROM (SELECT * FROM requests WHERE substr(hash, 17, 16) <= {border}) AS r JOIN windows AS w ON w.hash = r.hash
