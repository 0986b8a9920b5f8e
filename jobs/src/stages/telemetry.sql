-- Stage 1, telemetry: every row that was read, by kind: events of the day, quarantined rows, an account a file.
-- The writer sorts by bucket, so that a reader of a few buckets skips the pages of the others.
SELECT cmd_bucket(command_line, 4096) AS bucket, *
FROM telemetry
