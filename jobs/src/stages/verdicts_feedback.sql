-- Stage 4, models: what verdicts changed for the requests that were judged.
SELECT {day} AS day, detector, judged, CAST(judged_day AS DATE) AS judged_day, verdict, score_without, score_with, rank_without, rank_with,
       sample_rows, alert_without, alert_with
FROM (VALUES {rows}) AS f (detector, judged, judged_day, verdict, score_without, score_with, rank_without, rank_with, sample_rows,
                           alert_without, alert_with)
WHERE detector <> ''
ORDER BY detector, judged
