-- Stage 5, anomalies: the requests of a bucket that may be within a detector's quota, with their features.
SELECT *
FROM (
    SELECT *,
           iforest_score(features, {iforest}) AS iforest_score,
           pca_error(features, {pca}) AS pca_error,
           kmeans_distance(features, {kmeans}) AS kmeans_distance
    FROM (
        SELECT r.*, w.* EXCEPT (day, hash, actor, event_time), request_features AS features
        FROM requests AS r JOIN windows AS w ON w.hash = r.hash
    )
)
WHERE iforest_score >= {iforest_low} OR pca_error >= {pca_low} OR kmeans_distance >= {kmeans_low}
