-- Stage 2, commands: the events of a bucket's lines must sum to the events that were read.
SELECT CAST(coalesce(sum(events), 0) AS BIGINT) AS events, count(*) AS lines
FROM commands
