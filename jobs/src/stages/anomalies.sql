-- Stage 5, anomalies: the lines of a bucket within a quota: which detectors chose them, their ranks, and why.
SELECT day, hash, command_line, template, os, image, parent_image, parent_command_line, "user", user_sid,
       integrity_level, original_file_name, signed, signer_trusted, events, hosts, users, first_seen, last_seen,
       cmd_guard(command_line) AS guard,
       iforest_score, iforest_rank, pca_error, pca_rank, kmeans_distance, kmeans_rank,
       array_remove_all(make_array(CASE WHEN iforest_rank IS NOT NULL THEN 'iforest' ELSE '' END,
                                   CASE WHEN pca_rank IS NOT NULL THEN 'pca' ELSE '' END,
                                   CASE WHEN kmeans_rank IS NOT NULL THEN 'kmeans' ELSE '' END), '') AS detectors,
       array_concat(
           CASE WHEN iforest_rank IS NOT NULL THEN iforest_reasons(features, {iforest}) ELSE make_array() END,
           CASE WHEN pca_rank IS NOT NULL THEN pca_reasons(features, {pca}) ELSE make_array() END,
           CASE WHEN kmeans_rank IS NOT NULL THEN kmeans_reasons(features, {kmeans}) ELSE make_array() END) AS reasons
FROM (
    SELECT *,
           quota_rank(iforest_score, hash, {iforest_ranks}) AS iforest_rank,
           quota_rank(pca_error, hash, {pca_ranks}) AS pca_rank,
           quota_rank(kmeans_distance, hash, {kmeans_ranks}) AS kmeans_rank
    FROM scores
)
WHERE iforest_rank IS NOT NULL OR pca_rank IS NOT NULL OR kmeans_rank IS NOT NULL
ORDER BY hash
