-- Stage 4, models: requests of an earlier day that analysts judged: what they say, what their actors did, and their features, computed
-- with what was usual on that day.
SELECT v.hash, v.verdict, v.version, coalesce(r."user", r.client_ip, '') AS who,
       api_said(r.method, r.host, r.path, r.query, r.body, r.headers, r.referer, r.user_agent, r.error_code,
                CAST(r.status AS BIGINT)) AS said,
       coalesce(w.requests_10min, 0) AS requests_10min, coalesce(w.failed_5min, 0) AS failed_5min,
       coalesce(w.endpoints_10min, 0) AS endpoints_10min, coalesce(w.bytes_out_10min, 0) AS bytes_out_10min,
       request_features AS features
FROM (VALUES {rows}) AS v (hash, verdict, version)
JOIN requests AS r ON r.hash = v.hash
JOIN windows AS w ON w.hash = r.hash
ORDER BY v.hash
