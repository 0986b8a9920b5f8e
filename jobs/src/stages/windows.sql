-- Stage 3, windows: what the actor of each request of a bucket did before, beside what happened at its endpoint.
SELECT {day} AS day, r.hash, r.actor, r.event_time, r.template, r.endpoint,
       w['requests_1min'] AS requests_1min,
       w['requests_5min'] AS requests_5min,
       w['requests_10min'] AS requests_10min,
       w['failed_5min'] AS failed_5min,
       w['endpoints_10min'] AS endpoints_10min,
       w['bytes_out_10min'] AS bytes_out_10min,
       w['gap_micros'] AS gap_micros,
       w['mean_gap_micros'] AS mean_gap_micros,
       w['requests_before'] AS requests_before,
       w['endpoint_before'] AS endpoint_before,
       w['agent_before'] AS agent_before,
       w['network_before'] AS network_before,
       w['previous_endpoint'] AS previous_endpoint,
       w['step_before'] AS step_before,
       w['call_sequence_hash'] AS call_sequence_hash,
       w['sequence_before'] AS sequence_before,
       e.endpoint_requests_1min, e.endpoint_requests_5min, e.endpoint_failed_5min, e.endpoint_actors_10min
FROM (SELECT * EXCEPT (bucket) FROM endpoints WHERE bucket >= {low} AND bucket < {high}) AS e
-- What is joined to stays in its order.
RIGHT JOIN (
    SELECT hash, actor, event_time, template, endpoint, carried,
           api_actor_windows(actor, CAST(event_time AS BIGINT), endpoint,
                             coalesce(status, 0) >= 400 OR coalesce(error_code, '') <> '',
                             response_bytes, user_agent, client_ip)
               OVER (ORDER BY actor, event_time, hash) AS w
    FROM (
        SELECT *, api_endpoint(method, host, template) AS endpoint
        FROM (SELECT *, api_template(host, path, {templates}) AS template FROM bucket_requests)
    )
) AS r ON e.hash = r.hash
WHERE NOT r.carried
ORDER BY r.actor, r.event_time, r.hash
