-- Stage 6, candidates: template dedup, then guarded cosine near-dedup, of the guard keys of one part, against the
-- day itself and the kept candidates of earlier days. One anomaly in, one row out: kept, or covered.
WITH lines AS (
    SELECT guard, hash, command_line, template, events, day, FALSE AS earlier FROM anomalies
    WHERE cmd_bucket(guard, {parts}) = {part}
    UNION ALL
    SELECT guard, hash, command_line, template, events, day, TRUE AS earlier FROM history
    WHERE kept AND cmd_bucket(guard, {parts}) = {part}
),
decisions AS (
    SELECT unnest(decided) AS decision
    FROM (
        SELECT cmd_near_duplicates(hash, command_line, template, events, day, earlier, {cosine}) AS decided
        FROM lines
        GROUP BY guard
    )
)
SELECT a.*,
       decision['covered_by'] IS NULL AS kept,
       decision['covered_by'] AS covered_by,
       decision['covered_day'] AS covered_day,
       decision['covered_how'] AS covered_how,
       decision['cosine'] AS cosine,
       decision['covers'] AS covers
FROM anomalies AS a
JOIN decisions ON a.hash = decision['hash']
ORDER BY a.hash
