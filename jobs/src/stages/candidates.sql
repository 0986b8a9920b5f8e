-- Stage 6, candidates: one anomaly in, one row out: kept, or covered. The decisions are those of all guard keys, sorted by
-- hash; the anomalies are some buckets by hash, from one hash to another.
SELECT a.*,
       d.covered_by IS NULL AS kept,
       d.covered_by,
       d.covered_day,
       d.covered_how,
       d.cosine,
       d.covers
FROM anomalies AS a
JOIN (SELECT hash, covered_by, covered_day, covered_how, cosine, covers FROM decisions
      WHERE hash >= {low} AND hash < {high}) AS d ON a.hash = d.hash
ORDER BY a.hash
