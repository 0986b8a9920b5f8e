-- Stage 4, models: the requests of a bucket that say the same as a judged one, and what becomes of them.
SELECT {day} AS day, a.hash, a.actor, a.event_time, a.said, a.verdict, a.judged, a.judged_day,
       CASE WHEN a.verdict = 'false_positive' AND NOT a.busier THEN 'held_back'
            WHEN a.verdict = 'false_positive' THEN 'busier'
            WHEN c.said IS NOT NULL THEN 'common'
            ELSE 'marked' END AS outcome
FROM alike AS a
LEFT JOIN (VALUES {common}) AS c (said) ON c.said = a.said
ORDER BY a.hash
