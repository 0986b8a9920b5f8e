-- Stage 5, anomalies: the lines of a bucket that may be within a detector's quota, with their features.
SELECT *
FROM (
    SELECT *,
           iforest_score(features, {iforest}) AS iforest_score,
           pca_error(features, {pca}) AS pca_error,
           kmeans_distance(features, {kmeans}) AS kmeans_distance
    FROM (
        SELECT * EXCEPT (host_state, user_state),
               cmd_features(command_line, image, parent_image, original_file_name, user_sid, integrity_level,
                            signed, signer_trusted, {frequencies}) AS features
        FROM commands
    )
)
WHERE iforest_score >= {iforest_low} OR pca_error >= {pca_low} OR kmeans_distance >= {kmeans_low}
