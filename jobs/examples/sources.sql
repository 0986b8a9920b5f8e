-- How much of each file of a day could be read, and why not the rest: a source that breaks its format shows here first.
--   gleaner serve … --after-day sources=jobs/examples/sources.sql
CREATE VIEW refused AS
SELECT day, file, string_agg(reason || ': ' || CAST(rows AS VARCHAR), ', ' ORDER BY rows DESC, reason) AS reasons
FROM (SELECT day, file, reason, sum(rows) AS rows FROM quarantine WHERE day = $date GROUP BY day, file, reason) AS q
GROUP BY day, file;

SELECT t.day, t.file, t.rows_read, t.rows_kept, t.rows_quarantined, t.rows_other_day, r.reasons
FROM telemetry AS t LEFT JOIN refused AS r ON r.day = t.day AND r.file = t.file
WHERE t.day = $date
ORDER BY t.rows_quarantined DESC, t.file
