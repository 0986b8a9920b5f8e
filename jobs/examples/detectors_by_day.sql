-- What each detector finds that no other does, and what becomes of it: is a detector worth its quota?
--   gleaner serve … --after-day detectors=jobs/examples/detectors_by_day.sql
CREATE VIEW found AS
SELECT a.day, a.hash, unnest(a.detectors) AS detector, array_length(a.detectors) AS of
FROM anomalies AS a
WHERE a.day = $date;

SELECT f.day, f.detector, count(*) AS lines, count(*) FILTER (WHERE f.of = 1) AS alone,
       count(*) FILTER (WHERE c.kept) AS after_near_dedup, count(b.hash) AS benign
FROM found AS f
LEFT JOIN candidates AS c ON c.day = f.day AND c.hash = f.hash
LEFT JOIN benign AS b ON b.day = f.day AND b.hash = f.hash
GROUP BY f.day, f.detector
ORDER BY f.detector
