-- Stage 6, incidents, second step: which incident a request is in. Its actor's; or, where three actors or more each did little, at one endpoint
-- alone, and stood out by the same, that of all of them: an endpoint that fails for all, an attack that comes from a new session each time.
WITH numbered AS (
    SELECT a.hash, a.endpoint, a.event_time, l.who, l.n, l.lead FROM anomalies AS a JOIN leads AS l ON l.hash = a.hash
),
small AS (
    SELECT who, n, lead, min(endpoint) AS endpoint, min(event_time) AS first_seen, max(event_time) AS last_seen
    FROM numbered GROUP BY who, n, lead HAVING count(DISTINCT endpoint) = 1 AND count(*) <= 5
),
chained AS (
    SELECT *, sum(opens) OVER (PARTITION BY endpoint, lead ORDER BY first_seen, who, n
                               ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS chain
    FROM (
        SELECT *,
               CASE WHEN first_seen - max(last_seen) OVER (PARTITION BY endpoint, lead ORDER BY first_seen, who, n
                                                           ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
                         <= INTERVAL '30 minutes'
                    THEN 0 ELSE 1 END AS opens
        FROM small
    )
),
alike AS (
    SELECT endpoint, lead, chain FROM chained GROUP BY endpoint, lead, chain HAVING count(DISTINCT who) >= 3
)
SELECT r.hash, r.who,
       CASE WHEN a.chain IS NULL THEN concat('actor/', r.who, '/', r.n)
            ELSE concat('endpoint/', a.endpoint, '/', a.lead, '/', a.chain) END AS key
FROM numbered AS r
LEFT JOIN chained AS c ON c.who = r.who AND c.n = r.n
LEFT JOIN alike AS a ON a.endpoint = c.endpoint AND a.lead = c.lead AND a.chain = c.chain
