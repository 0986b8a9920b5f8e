-- Stage 1, telemetry: the rows that could not be read.
SELECT {day} AS day, file, position, "offset", reason, detail, rows, raw
FROM events
WHERE kind = 'quarantine'
ORDER BY file, position, reason
