-- Stage 7, labels: how widely the templates of the day's candidates were seen, in one bucket of one day.
SELECT template, CAST(sum(events) AS BIGINT) AS events,
       distinct_merge(host_state) AS host_state, distinct_merge(user_state) AS user_state, day
FROM commands
WHERE template IN (SELECT template FROM candidates WHERE kept)
GROUP BY template, day
