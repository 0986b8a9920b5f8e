-- Stage 4, models: the lines of a bucket with the smallest keys, with their features.
-- `substr` and not `hash` itself: DataFusion swaps a filter with a projection that passes the filter's columns on, whatever
-- that computes, and would compute features of all lines and throw nine tenths away.
SELECT features_sample(hash, features, {rows}) AS state
FROM (
    SELECT substr(hash, 1, 32) AS hash,
           cmd_features(command_line, image, parent_image, original_file_name, user_sid, integrity_level,
                        signed, signer_trusted, {frequencies}) AS features
    FROM commands
    WHERE substr(hash, 17, 16) <= {border}
)
