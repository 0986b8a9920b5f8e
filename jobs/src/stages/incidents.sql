-- Stage 6, incidents: the day's anomalous requests, those of one actor no more than half an hour apart together.
-- A reason's name says what stood out; its count, in how many of an incident's requests.
WITH linked AS (
    SELECT *,
           CASE WHEN event_time - lag(event_time) OVER (PARTITION BY who ORDER BY event_time, hash) <= INTERVAL '30 minutes'
                THEN 0 ELSE 1 END AS opens
    FROM (SELECT *, coalesce(actor, 'unknown') AS who FROM anomalies)
),
numbered AS (
    SELECT *, sum(opens) OVER (PARTITION BY who ORDER BY event_time, hash ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS n
    FROM linked
),
reasons AS (
    SELECT who, n, name, count(*) AS times,
           row_number() OVER (PARTITION BY who, n ORDER BY count(*) DESC, name) AS place
    FROM (SELECT who, n, split_part(split_part(unnest(reasons), ': ', 2), ' ', 1) AS name FROM numbered)
    GROUP BY who, n, name
),
why AS (
    SELECT who, n, array_agg(name ORDER BY place) AS why FROM reasons WHERE place <= 5 GROUP BY who, n
),
places AS (
    SELECT who, n, place_name, times, row_number() OVER (PARTITION BY who, n ORDER BY times DESC, place_name) AS place
    FROM (
        SELECT who, n, concat_ws(' ', method, concat(coalesce(host, ''), template)) AS place_name, count(*) AS times
        FROM numbered GROUP BY who, n, concat_ws(' ', method, concat(coalesce(host, ''), template))
    )
),
top AS (
    SELECT who, n, array_agg(place_name ORDER BY place) AS top_endpoints FROM places WHERE place <= 5 GROUP BY who, n
),
grouped AS (
    SELECT who, n, min(hash) AS first_hash, min(event_time) AS first_seen, max(event_time) AS last_seen,
           sum(events) AS requests,
           sum(CASE WHEN coalesce(status, 0) >= 400 OR coalesce(error_code, '') <> '' THEN events ELSE 0 END) AS failed,
           count(DISTINCT endpoint) AS endpoints,
           array_slice(array_agg(DISTINCT client_ip ORDER BY client_ip) FILTER (WHERE client_ip IS NOT NULL), 1, 5) AS clients,
           array_slice(array_agg(DISTINCT api_agent(user_agent) ORDER BY api_agent(user_agent)), 1, 5) AS agents,
           array_sort(array_distinct(flatten(array_agg(detectors)))) AS detectors,
           sum(1.0 / least(coalesce(iforest_rank, 1000000000), coalesce(pca_rank, 1000000000), coalesce(kmeans_rank, 1000000000),
                           coalesce(dbscan_rank, 1000000000), coalesce(ocsvm_rank, 1000000000), coalesce(autoencoder_rank, 1000000000)))
               AS severity
    FROM numbered GROUP BY who, n
)
SELECT {day} AS day, cmd_hash(concat(g.who, '/', g.first_hash)) AS incident, g.who AS actor, g.first_seen, g.last_seen,
       CAST(g.requests AS BIGINT) AS requests, CAST(g.failed AS BIGINT) AS failed, CAST(g.endpoints AS BIGINT) AS endpoints,
       t.top_endpoints, g.clients, g.agents, g.detectors, y.why, CAST(g.severity AS DOUBLE) AS severity,
       concat(g.who, ': ', g.requests, CASE WHEN g.requests = 1 THEN ' anomalous request to ' ELSE ' anomalous requests to ' END,
              CASE WHEN g.endpoints = 1 THEN '' ELSE concat(g.endpoints, ' endpoints, most to ') END, t.top_endpoints[1],
              ', ', to_char(g.first_seen, '%H:%M:%S'),
              CASE WHEN g.first_seen = g.last_seen THEN '' ELSE concat(' to ', to_char(g.last_seen, '%H:%M:%S')) END, ' UTC',
              CASE WHEN g.failed = 0 THEN '' ELSE concat(', ', CAST(round(100.0 * g.failed / g.requests) AS BIGINT), '% failed') END,
              '; ', array_to_string(array_slice(y.why, 1, 3), ', ')) AS summary
FROM grouped AS g
LEFT JOIN why AS y ON y.who = g.who AND y.n = g.n
LEFT JOIN top AS t ON t.who = g.who AND t.n = g.n
ORDER BY severity DESC, incident
