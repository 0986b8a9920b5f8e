api_features(r."user", r.session, r.client_ip, r.method, r.host, r.path, r.query, r.error_code, r.user_agent, r.referer, r.body,
             r.headers, CAST(r.status AS BIGINT), r.request_bytes, r.response_bytes, CAST(r.latency_ms AS FLOAT), w.template,
             w.requests_1min, w.requests_5min, w.requests_10min, w.failed_5min, w.endpoints_10min, w.bytes_out_10min,
             w.gap_micros, w.mean_gap_micros, w.requests_before, w.endpoint_before, w.agent_before, w.network_before,
             w.previous_endpoint, w.step_before, w.call_sequence_hash, w.sequence_before, w.endpoint_requests_1min,
             w.endpoint_requests_5min, w.endpoint_failed_5min, w.endpoint_actors_10min, {frequencies})
