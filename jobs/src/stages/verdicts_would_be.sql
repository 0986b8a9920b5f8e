-- Stage 5, anomalies: the requests held back that score as high as the last one within a quota.
SELECT count(*) AS rows
FROM scores AS s JOIN alike AS a ON a.hash = s.hash
WHERE a.outcome = 'held_back' AND ({reached})
