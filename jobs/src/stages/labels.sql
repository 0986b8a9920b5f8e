-- Stage 7, labels: the rule labeller's verdict on each kept candidate.
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
SELECT day, hash, command_line,
       label['verdict'] AS verdict, label['reason'] AS reason, label['rules'] AS rules,
       label['evidence'] AS evidence, label['confidence'] AS confidence, 'rules' AS labeller,
       template_events, template_hosts, template_users, template_days
FROM labelled
ORDER BY hash
