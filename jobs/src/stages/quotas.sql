-- Stage 5, anomalies: the highest scores of a bucket, by detector.
SELECT quota_state(iforest_score, hash, {iforest_quota}) AS iforest,
       quota_state(pca_error, hash, {pca_quota}) AS pca,
       quota_state(kmeans_distance, hash, {kmeans_quota}) AS kmeans
FROM scores
