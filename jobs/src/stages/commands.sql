-- Stage 2, commands: exact dedup of the lines of a few buckets, one row a unique line, sorted by its hash.
-- Where the events of one line disagree (two images, two parents), the smallest value stands for them.
SELECT {day} AS day,
       cmd_hash(command_line) AS hash,
       command_line,
       cmd_template(command_line) AS template,
       min(os) AS os,
       min(image) AS image,
       min(parent_image) AS parent_image,
       min(parent_command_line) AS parent_command_line,
       min("user") AS "user",
       min(user_sid) AS user_sid,
       min(integrity_level) AS integrity_level,
       min(original_file_name) AS original_file_name,
       bool_and(signed) AS signed,
       bool_and(signer_trusted) AS signer_trusted,
       count(*) AS events,
       distinct_count(host) AS hosts,
       distinct_count("user") AS users,
       min(event_time) AS first_seen,
       max(event_time) AS last_seen,
       distinct_state(host) AS host_state,
       distinct_state("user") AS user_state
FROM events
WHERE bucket >= {low} AND bucket < {high}
GROUP BY command_line
ORDER BY hash
