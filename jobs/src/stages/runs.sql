-- The accounts of a day: one row a stage.
SELECT {day} AS day, stage, 'full' AS scale, rows_in, rows_kept, rows_quarantined, rows_dropped,
       CAST(secs AS DOUBLE) AS secs, bytes, fingerprint, digest, {gleaner} AS gleaner
FROM (VALUES {rows})
     AS stages (stage, rows_in, rows_kept, rows_quarantined, rows_dropped, secs, bytes, fingerprint, digest)
