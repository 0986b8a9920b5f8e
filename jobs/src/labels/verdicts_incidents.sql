-- Incidents to judge, the worst first.
SELECT CAST(day AS VARCHAR) AS day, incident, '' AS hash, coalesce(actor, array_to_string(top_actors, ' '), '') AS actor,
       to_char(first_seen, '%Y-%m-%dT%H:%M:%SZ') AS first_seen, requests, severity, array_to_string(detectors, ' ') AS detectors,
       summary AS what
FROM incidents
WHERE {every} OR day = {day}
ORDER BY severity DESC, incident
LIMIT {n}
