-- Parent and child programs that were never seen together before the day: what an attacker's first step looks like, and what a
-- detection on lineage would have to know.
--   gleaner submit jobs/examples/new_parents.sql --set date=2025-01-02 --into new_parents
CREATE VIEW pairs AS
SELECT day, lower(parent_image) AS parent, lower(image) AS child, sum(events) AS events, max(hosts) AS hosts,
       min(command_line) AS example
FROM commands
WHERE parent_image IS NOT NULL AND image IS NOT NULL
GROUP BY day, lower(parent_image), lower(image);

SELECT today.day, today.parent, today.child, today.events, today.hosts, today.example
FROM pairs AS today
WHERE today.day = $date
  AND NOT EXISTS (
    SELECT 1 FROM pairs AS earlier
    WHERE earlier.day < $date AND earlier.parent = today.parent AND earlier.child = today.child)
ORDER BY today.hosts, today.events, today.parent, today.child
