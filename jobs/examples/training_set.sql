-- The benign set as a classifier takes it: line, label, weight. Under a label budget a line stands for all that could have been
-- chosen in its place, so it weighs the inverse of its chance.
--   gleaner submit jobs/examples/training_set.sql --set from=2025-01-01 --set to=2025-01-31 --into training_set
SELECT command_line, 0 AS label, coalesce(1.0 / inclusion_probability, 1.0) AS weight, day, hash, labeller
FROM benign
WHERE day BETWEEN $from AND $to
ORDER BY day, hash
