-- Stage 6, choice: the lines of some buckets that near-dedup keeps, as the choice of what to label sees them.
SELECT a.hash, a.command_line, a.iforest_rank, a.pca_rank, a.kmeans_rank
FROM anomalies AS a
JOIN (SELECT hash FROM decisions WHERE covered_by IS NULL AND hash >= {low} AND hash < {high}) AS d ON a.hash = d.hash
ORDER BY a.hash
