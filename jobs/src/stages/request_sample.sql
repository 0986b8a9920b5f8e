-- Stage 4, models: the requests of a bucket with the smallest keys, with their features.
SELECT features_sample(hash, features, {rows}) AS state
FROM (
    SELECT r.hash, request_features AS features
    FROM (SELECT * FROM requests WHERE substr(hash, 17, 16) <= {border}) AS r JOIN windows AS w ON w.hash = r.hash
)
