-- Stage 4, models: the lines of a bucket with the smallest keys, with their features.
SELECT features_sample(hash, features, {rows}) AS state
FROM (
    SELECT hash, cmd_features(command_line, image, parent_image, original_file_name, user_sid, integrity_level,
                              signed, signer_trusted, {frequencies}) AS features
    FROM commands
    WHERE substr(hash, 17, 16) <= {border}
)
