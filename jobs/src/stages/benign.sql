-- Stage 8, benign: what was labelled benign, or what an analyst calls benign, with where it came from. Of an analyst's verdicts the latest holds.
WITH reviewed AS (
    SELECT hash, verdict, analyst FROM (
        SELECT hash, verdict, analyst, row_number() OVER (PARTITION BY hash ORDER BY version DESC) AS place FROM reviews
    ) WHERE place = 1
)
SELECT c.day, c.hash, c.command_line, c.template, c.os, c.image, c.parent_image, c.parent_command_line, c."user",
       c.user_sid, c.integrity_level, c.original_file_name, c.signed, c.signer_trusted, c.events, c.hosts, c.users,
       c.first_seen, c.last_seen, c.guard, c.iforest_score, c.iforest_rank, c.pca_error, c.pca_rank,
       c.kmeans_distance, c.kmeans_rank, c.detectors, c.reasons, c.covers,
       l.reason, l.confidence, l.labeller, l.template_events, l.template_hosts, l.template_users, l.template_days,
       l.model, l.prompt, r.analyst, c.chosen_by, c.inclusion_probability
FROM candidates AS c
JOIN labels AS l ON c.hash = l.hash
LEFT JOIN reviewed AS r ON c.hash = r.hash
WHERE c.kept AND coalesce(r.verdict, l.verdict) = 'benign'
ORDER BY c.hash
