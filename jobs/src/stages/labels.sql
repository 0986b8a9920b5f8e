-- Stage 7, labels: the verdict on each kept candidate: what was decided of it by a list, a language model or before one (`decisions`),
-- else the rule labeller's.
WITH seen AS (
    SELECT template,
           CAST(sum(events) AS BIGINT) AS template_events,
           distinct_estimate(distinct_merge(host_state)) AS template_hosts,
           distinct_estimate(distinct_merge(user_state)) AS template_users,
           count(DISTINCT day) AS template_days
    FROM prevalence
    GROUP BY template
),
labelled AS (
    SELECT c.day, c.hash, c.command_line, s.template_events, s.template_hosts, s.template_users, s.template_days,
           cmd_label(c.command_line, c.os, c.image, c.parent_image, c.parent_command_line, c."user",
                     s.template_events, s.template_hosts,
                     s.template_users, s.template_days, {min_hosts}, {min_users}, {min_days}) AS label
    FROM candidates AS c
    JOIN seen AS s ON c.template = s.template
    WHERE c.kept
)
SELECT l.day, l.hash, l.command_line,
       coalesce(d.verdict, label['verdict']) AS verdict,
       coalesce(d.reason, label['reason']) AS reason,
       CASE WHEN d.hash IS NULL THEN label['rules'] ELSE d.rules END AS rules,
       coalesce(d.evidence, label['evidence']) AS evidence,
       coalesce(d.confidence, label['confidence']) AS confidence,
       coalesce(d.labeller, 'rules') AS labeller,
       template_events, template_hosts, template_users, template_days,
       d.unlabelled, d.intent, d.red_flags, d.first_verdict, d.second_verdict, d.second_evidence, d.model, d.prompt,
       d.batches, d.redacted, d.sent, d.cost_usd, d.answer_key
FROM labelled AS l
LEFT JOIN decisions AS d ON l.hash = d.hash
ORDER BY l.hash
