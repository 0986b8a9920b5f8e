-- Part of stage 6, candidates: the canonical texts of the day's anomalies and of the history, one a template, that have no
-- vector by the embedder yet.
SELECT cmd_bucket(l.template, 4096) AS bucket, l.template AS text_hash, cmd_comparable(min(l.command_line)) AS text
FROM (
    SELECT template, command_line FROM anomalies
    UNION ALL
    SELECT template, command_line FROM history WHERE kept OR covered_how = 'cosine'
) AS l
LEFT ANTI JOIN (SELECT text_hash FROM embeddings WHERE embedder = {embedder}) AS known ON l.template = known.text_hash
GROUP BY l.template
