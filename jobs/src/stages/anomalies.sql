-- Stage 5, anomalies: the lines of a bucket within a quota: which detectors chose them, their ranks, and why.
SELECT day, hash, command_line, template, os, image, parent_image, parent_command_line, "user", user_sid,
       integrity_level, original_file_name, signed, signer_trusted, events, hosts, users, first_seen, last_seen,
       cmd_guard(command_line) AS guard,
       {detector_columns},
       {detector_names} AS detectors,
       {detector_reasons} AS reasons
FROM (
    SELECT *,
           {detector_ranks}
    FROM scores
)
WHERE {chosen}
ORDER BY hash
