-- The anomalies that verdicts are about: those named, and all of the incidents named.
WITH placed AS (
    SELECT a.day, a.hash, i.incident
    FROM anomalies AS a JOIN (SELECT day, incident, unnest(hashes) AS hash FROM incidents) AS i ON i.day = a.day AND i.hash = a.hash
)
SELECT CAST(day AS VARCHAR) AS day, hash, incident FROM placed
WHERE hash IN (SELECT name FROM (VALUES {hashes}) AS h (name))
UNION
SELECT CAST(day AS VARCHAR) AS day, hash, incident FROM placed
WHERE incident IN (SELECT name FROM (VALUES {incidents}) AS n (name))
ORDER BY day, hash
