-- Stage 6, candidates: one anomaly in, one row out: kept, covered, or beyond the label budget. The decisions are those of all guard keys,
-- sorted by hash; the anomalies are some buckets by hash, from one hash to another. `choice` has the lines that near-dedup keeps, where
-- there is a budget. A line beyond it, or whose like is labelled already, is not kept, so that it covers nothing: a later day may choose its like.
SELECT a.*,
       d.covered_by IS NULL AND (NOT {budgeted} OR c.chosen_by IS NOT NULL) AS kept,
       d.covered_by,
       d.covered_day,
       CASE WHEN d.covered_by IS NOT NULL OR NOT {budgeted} OR c.chosen_by IS NOT NULL THEN d.covered_how
            WHEN c.known THEN 'known' ELSE 'budget' END AS covered_how,
       d.cosine,
       d.covers,
       c.chosen_by,
       CASE WHEN d.covered_by IS NOT NULL THEN NULL WHEN {budgeted} THEN c.inclusion_probability ELSE 1.0 END AS inclusion_probability,
       c.suspicion
FROM anomalies AS a
JOIN (SELECT hash, covered_by, covered_day, covered_how, cosine, covers FROM decisions
      WHERE hash >= {low} AND hash < {high}) AS d ON a.hash = d.hash
LEFT JOIN (SELECT hash, chosen_by, inclusion_probability, suspicion, known FROM choice
           WHERE hash >= {low} AND hash < {high}) AS c ON a.hash = c.hash
ORDER BY a.hash
