-- Stage 5, anomalies: the highest scores of a bucket, by detector, of those that reach its threshold; and how many do.
SELECT {detector_states},
       {detector_counts}
FROM scores
