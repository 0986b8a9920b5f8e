-- Stage 1, telemetry, of requests to APIs: every row that was read, by kind: events of the day, quarantined rows, an account a file.
-- All of an actor's requests fall into one bucket; those of nobody known are spread by their path.
SELECT cmd_bucket(coalesce("user", session, client_ip, path), 4096) AS bucket, *
FROM telemetry
