-- Stage 2, requests: the requests of a few buckets of actors, one row a request, in each actor's order of time.
-- Rows that agree in every column are one request; `events` says how many there were, since a log that counts whole seconds writes
-- two requests of one second alike.
SELECT {day} AS day,
       api_hash(CAST(event_time AS BIGINT), "user", session, client_ip, method, host, path, query, CAST(status AS BIGINT), error_code,
                request_bytes, response_bytes, CAST(latency_ms AS VARCHAR), user_agent, referer, body, headers) AS hash,
       coalesce("user", session, client_ip) AS actor,
       event_time,
       "user",
       session,
       client_ip,
       method,
       host,
       path,
       query,
       status,
       error_code,
       request_bytes,
       response_bytes,
       latency_ms,
       user_agent,
       referer,
       body,
       headers,
       count(*) AS events
FROM events
WHERE bucket >= {low} AND bucket < {high}
GROUP BY event_time, "user", session, client_ip, method, host, path, query, status, error_code, request_bytes, response_bytes,
         latency_ms, user_agent, referer, body, headers
ORDER BY actor, event_time, hash
