-- Stage 5, anomalies: the lines of a bucket that may be within a detector's quota, with their features.
SELECT *
FROM (
    SELECT *,
           {detector_scores}
    FROM (
        SELECT * EXCEPT (host_state, user_state),
               cmd_features(command_line, image, parent_image, original_file_name, user_sid, integrity_level,
                            signed, signer_trusted, {frequencies}) AS features
        FROM commands
    )
)
WHERE {may_be_chosen}
