-- The accounts of a day: one row a stage.
SELECT {day} AS day, stage, 'full' AS scale, rows_in, rows_kept, rows_quarantined, rows_dropped,
       CAST(secs AS DOUBLE) AS secs, bytes, fingerprint, digest, {gleaner} AS gleaner, CAST(cost_usd AS DOUBLE) AS cost_usd, counts
FROM (VALUES {rows})
     AS stages (stage, rows_in, rows_kept, rows_quarantined, rows_dropped, secs, bytes, fingerprint, digest, cost_usd, counts)
