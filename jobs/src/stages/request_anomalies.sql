-- Stage 5, anomalies: the requests of a bucket within a quota: which detectors chose them, their ranks, and why.
SELECT day, hash, actor, event_time, "user", session, client_ip, method, host, path, query, status, error_code, request_bytes,
       response_bytes, latency_ms, user_agent, referer, body, headers, events, template, endpoint, requests_1min, requests_5min,
       requests_10min, failed_5min, endpoints_10min, bytes_out_10min, gap_micros, mean_gap_micros, requests_before,
       endpoint_before, agent_before, network_before, previous_endpoint, step_before, call_sequence_hash, sequence_before,
       endpoint_requests_1min, endpoint_requests_5min, endpoint_failed_5min, endpoint_actors_10min,
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
