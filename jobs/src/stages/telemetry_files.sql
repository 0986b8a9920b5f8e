-- Stage 1, telemetry: what became of each file.
SELECT {day} AS day, file,
       CAST(sum(CASE WHEN kind = 'file' THEN rows ELSE 0 END) AS BIGINT) AS rows_read,
       CAST(sum(CASE WHEN kind = 'event' THEN rows ELSE 0 END) AS BIGINT) AS rows_kept,
       CAST(sum(CASE WHEN kind = 'quarantine' THEN rows ELSE 0 END) AS BIGINT) AS rows_quarantined,
       CAST(sum(CASE WHEN kind = 'file' THEN rows_other_day ELSE 0 END) AS BIGINT) AS rows_other_day
FROM events
GROUP BY file
ORDER BY file
