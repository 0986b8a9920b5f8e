-- Stage 6, incidents, first step: the day's anomalous requests, those of one actor no more than half an hour apart together, and what says most
-- of these. Three steps, because a plan travels to a cluster as nested messages, of which prost reads a hundred: the one query of them all was deeper.
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
-- What stood out of each request, in words; however many detectors say so, once.
said AS (
    SELECT who, n, hash, words, max(weight) AS weight
    FROM (
        SELECT who, n, hash, api_reason(reason) AS words, api_reason_weight(reason) AS weight
        FROM (SELECT who, n, hash, unnest(reasons) AS reason FROM numbered)
    )
    WHERE words IS NOT NULL GROUP BY who, n, hash, words
),
-- What says most of an actor's few requests. Failures are told in several ways: they are one lead.
leads AS (
    SELECT who, n, lead
    FROM (SELECT who, n, lead, row_number() OVER (PARTITION BY who, n ORDER BY sum(weight) DESC, lead) AS place
          FROM (SELECT who, n, weight, CASE WHEN words LIKE '%fail%' OR words = 'server errors' THEN 'failures' ELSE words END AS lead
                FROM said)
          GROUP BY who, n, lead)
    WHERE place = 1
)
SELECT r.hash, r.who, r.n, coalesce(l.lead, '') AS lead
FROM numbered AS r LEFT JOIN leads AS l ON l.who = r.who AND l.n = r.n
