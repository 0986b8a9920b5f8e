-- Stage 3, windows: the last requests of the day before, so that the first minutes of a day are not cold.
SELECT cmd_bucket(coalesce(actor, path), 4096) AS bucket, *
FROM requests
WHERE CAST(event_time AS BIGINT) >= {since}
