-- Stage 2: the events of a bucket's rows must sum to the events that were read.
SELECT CAST(coalesce(sum(events), 0) AS BIGINT) AS events, count(*) AS units
FROM unit
