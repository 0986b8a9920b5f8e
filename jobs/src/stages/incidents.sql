-- Stage 6, incidents, last step: a row an incident, of its requests.
WITH keyed AS (
    SELECT a.*, k.who, k.key FROM anomalies AS a JOIN keys AS k ON k.hash = a.hash
),
-- What stood out of each request, in words; however many detectors say so, once.
said AS (
    SELECT hash, words, max(weight) AS weight
    FROM (
        SELECT hash, api_reason(reason) AS words, api_reason_weight(reason) AS weight
        FROM (SELECT hash, unnest(reasons) AS reason FROM anomalies)
    )
    WHERE words IS NOT NULL GROUP BY hash, words
),
-- By the requests that it stood out of, and by how much it says.
why AS (
    SELECT key, array_agg(words ORDER BY place) AS why
    FROM (
        SELECT k.key, s.words,
               row_number() OVER (PARTITION BY k.key ORDER BY sum(s.weight) DESC, s.words) AS place
        FROM said AS s JOIN keyed AS k ON k.hash = s.hash GROUP BY k.key, s.words
    )
    WHERE place <= 5 GROUP BY key
),
-- An endpoint of which an incident has one path is named by the path: a template may have folded what tells most.
places AS (
    SELECT key, place_name, row_number() OVER (PARTITION BY key ORDER BY times DESC, place_name) AS place
    FROM (
        SELECT key, concat_ws(' ', method, concat(coalesce(host, ''),
                                                  CASE WHEN min(path) = max(path) THEN min(path) ELSE template END)) AS place_name,
               sum(events) AS times
        FROM keyed GROUP BY key, method, host, template
    )
),
top AS (
    SELECT key, array_agg(CASE WHEN character_length(place_name) > 160 THEN concat(substr(place_name, 1, 159), '…') ELSE place_name END
                          ORDER BY place) AS top_endpoints
    FROM places WHERE place <= 5 GROUP BY key
),
people AS (
    SELECT key, array_agg(who ORDER BY place) AS top_actors
    FROM (SELECT key, who, row_number() OVER (PARTITION BY key ORDER BY sum(events) DESC, who) AS place
          FROM keyed GROUP BY key, who)
    WHERE place <= 5 GROUP BY key
),
grouped AS (
    SELECT key, min(hash) AS first_hash, min(event_time) AS first_seen, max(event_time) AS last_seen,
           count(DISTINCT who) AS actors,
           sum(events) AS requests,
           sum(CASE WHEN coalesce(status, 0) >= 400 OR coalesce(error_code, '') <> '' THEN events ELSE 0 END) AS failed,
           count(DISTINCT endpoint) AS endpoints,
           array_slice(array_agg(DISTINCT client_ip ORDER BY client_ip) FILTER (WHERE client_ip IS NOT NULL), 1, 5) AS clients,
           array_slice(array_agg(DISTINCT api_agent(user_agent) ORDER BY api_agent(user_agent))
                           FILTER (WHERE api_agent(user_agent) <> ''), 1, 5) AS agents,
           array_sort(array_distinct(flatten(array_agg(detectors)))) AS detectors,
           array_agg(hash ORDER BY event_time, hash) AS hashes,
           -- Each detector's first request counts 1, its second a half, its third a third: what several detectors rank high is worse.
           sum(coalesce(1.0 / iforest_rank, 0) + coalesce(1.0 / pca_rank, 0) + coalesce(1.0 / kmeans_rank, 0) + coalesce(1.0 / dbscan_rank, 0)
               + coalesce(1.0 / ocsvm_rank, 0) + coalesce(1.0 / autoencoder_rank, 0)) AS severity,
           -- In the order of their names, that of an attack is the last.
           max(verdict) AS verdict
    FROM keyed GROUP BY key
)
SELECT {day} AS day, cmd_hash(concat(g.key, '/', g.first_hash)) AS incident,
       CASE WHEN g.actors = 1 THEN p.top_actors[1] END AS actor, g.first_seen, g.last_seen,
       CAST(g.requests AS BIGINT) AS requests, CAST(g.failed AS BIGINT) AS failed, CAST(g.endpoints AS BIGINT) AS endpoints,
       t.top_endpoints, g.clients, g.agents, g.detectors,
       coalesce(y.why, make_array('an unusual combination of ordinary values')) AS why,
       CAST(g.severity AS DOUBLE) AS severity,
       concat(CASE WHEN g.actors = 1 THEN p.top_actors[1] ELSE concat(g.actors, ' actors') END, ': ', g.requests,
              CASE WHEN g.requests = 1 THEN ' anomalous request to ' ELSE ' anomalous requests to ' END,
              CASE WHEN g.endpoints = 1 THEN '' ELSE concat(g.endpoints, ' endpoints, most to ') END, t.top_endpoints[1],
              ', ', to_char(g.first_seen, '%H:%M:%S'),
              CASE WHEN g.first_seen = g.last_seen THEN '' ELSE concat(' to ', to_char(g.last_seen, '%H:%M:%S')) END, ' UTC',
              CASE WHEN g.failed = 0 THEN '' WHEN g.failed = g.requests AND g.requests = 1 THEN ', failed'
                   WHEN g.failed = g.requests THEN ', all failed'
                   ELSE concat(', ', greatest(CAST(round(100.0 * g.failed / g.requests) AS BIGINT), 1), '% failed') END,
              '; ', coalesce(array_to_string(array_slice(y.why, 1, 3), ', '), 'an unusual combination of ordinary values'),
              CASE g.verdict WHEN 'true_positive' THEN '; says what was judged an attack before'
                             WHEN 'false_positive' THEN '; says what was judged a false alarm before, and does more'
                             ELSE '' END) AS summary,
       CAST(g.actors AS BIGINT) AS actors, p.top_actors, g.hashes, g.verdict
FROM grouped AS g
LEFT JOIN why AS y ON y.key = g.key
LEFT JOIN top AS t ON t.key = g.key
LEFT JOIN people AS p ON p.key = g.key
ORDER BY severity DESC, incident
