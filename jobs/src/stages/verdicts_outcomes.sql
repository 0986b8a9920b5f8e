-- Stage 4, models: how many requests came to what, and those that may be in the sample.
SELECT outcome, hash, rows
FROM (
    SELECT outcome, CAST(NULL AS VARCHAR) AS hash, count(*) AS rows FROM alike GROUP BY outcome
    UNION ALL
    SELECT outcome, hash, 0 AS rows FROM alike WHERE outcome <> 'common' AND substr(hash, 17, 16) <= {border}
)
ORDER BY outcome, hash
