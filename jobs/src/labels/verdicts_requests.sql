-- Anomalous requests to judge, those of the worst incidents first.
SELECT CAST(a.day AS VARCHAR) AS day, i.incident, a.hash, coalesce(a.actor, '') AS actor,
       to_char(a.event_time, '%Y-%m-%dT%H:%M:%SZ') AS first_seen, a.events AS requests, i.severity,
       array_to_string(a.detectors, ' ') AS detectors,
       concat(substr(concat(coalesce(a.method, ''), ' ', coalesce(a.host, ''), coalesce(a.path, ''),
                            CASE WHEN a.query IS NULL THEN '' ELSE concat('?', a.query) END, ' ', coalesce(CAST(a.status AS VARCHAR), '')),
                     1, {shown}),
              '; ', array_to_string(array_slice(a.reasons, 1, 3), ', ')) AS what
FROM anomalies AS a
JOIN (SELECT day, incident, severity, unnest(hashes) AS hash FROM incidents) AS i ON i.day = a.day AND i.hash = a.hash
WHERE {every} OR a.day = {day}
ORDER BY i.severity DESC, i.incident, a.event_time, a.hash
LIMIT {n}
