-- Stage 5, anomalies: the requests of a bucket that may be within a detector's quota, with their features.
SELECT *
FROM (
    SELECT *,
           {detector_scores}
    FROM (
        SELECT r.*, w.* EXCEPT (day, hash, actor, event_time), request_features AS features
        FROM requests AS r JOIN windows AS w ON w.hash = r.hash
    )
)
WHERE {may_be_chosen}
