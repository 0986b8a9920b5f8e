-- Stage 5, anomalies: the requests of a bucket within a quota: which detectors chose them, their ranks, and why.
SELECT day, hash, actor, event_time, "user", session, client_ip, method, host, path, query, status, error_code, request_bytes,
       response_bytes, latency_ms, user_agent, referer, body, headers, events, template, endpoint, requests_1min, requests_5min,
       requests_10min, failed_5min, endpoints_10min, bytes_out_10min, gap_micros, mean_gap_micros, requests_before,
       endpoint_before, agent_before, network_before, previous_endpoint, step_before, call_sequence_hash, sequence_before,
       endpoint_requests_1min, endpoint_requests_5min, endpoint_failed_5min, endpoint_actors_10min,
       {detector_columns},
       {detector_names} AS detectors,
       {detector_reasons} AS reasons,
       judged_as AS verdict
FROM (
    SELECT *,
           {detector_ranks}
    FROM scores
)
WHERE {chosen}
ORDER BY hash
