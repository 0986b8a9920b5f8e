-- Stage 4, models: what is usual among the requests of a bucket.
SELECT api_corpus(r."user", r.session, r.client_ip, r.method, r.host, r.path, r.query, r.error_code, r.user_agent, r.referer, r.body,
                  r.headers, CAST(r.status AS BIGINT), r.request_bytes, r.response_bytes, CAST(r.latency_ms AS FLOAT), w.template,
                  w.previous_endpoint) AS state
FROM requests AS r JOIN windows AS w ON w.hash = r.hash
