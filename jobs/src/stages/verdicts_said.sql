-- Stage 4, models: the requests of a bucket that say the same as one that was judged on an earlier day; one row a request. What was judged
-- harmless is harmless from the same user or address alone; an attack is one from anybody. Of several verdicts that on the request's own
-- actor counts, then the latest.
SELECT hash, actor, event_time, said, verdict, judged, judged_day, judged_actors, busier
FROM (
    SELECT r.hash, r.actor, r.event_time, r.said, j.verdict, j.judged, j.judged_day, j.judged_actors,
           coalesce(w.requests_10min > 2 * j.requests_10min + 5 OR w.failed_5min > 2 * j.failed_5min + 2
                    OR w.endpoints_10min > 2 * j.endpoints_10min + 2
                    OR w.bytes_out_10min > 2 * j.bytes_out_10min + 65536, TRUE) AS busier,
           row_number() OVER (PARTITION BY r.hash ORDER BY CASE WHEN j.who = r.who THEN 0 ELSE 1 END, j.version DESC, j.judged) AS place
    FROM (
        SELECT hash, actor, event_time, coalesce("user", client_ip, '') AS who,
               api_said(method, host, path, query, body, headers, referer, user_agent, error_code, CAST(status AS BIGINT)) AS said
        FROM requests
    ) AS r
    JOIN judged AS j ON j.said = r.said
    JOIN windows AS w ON w.hash = r.hash
    WHERE j.verdict = 'true_positive' OR (j.who = r.who AND r.who <> '')
)
WHERE place = 1
