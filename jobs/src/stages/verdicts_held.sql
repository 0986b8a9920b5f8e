-- Stage 5, anomalies: the staged requests of a bucket but for those that say the same as a false positive; the others of which something
-- alike was judged are marked.
SELECT s.*, a.verdict
FROM scores AS s
LEFT JOIN (SELECT hash, verdict, outcome FROM alike WHERE outcome <> 'common') AS a ON a.hash = s.hash
WHERE a.outcome IS NULL OR a.outcome <> 'held_back'
