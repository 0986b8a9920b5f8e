-- Stage 4, models: the verdict that holds of each request that was judged.
SELECT CAST(day AS VARCHAR) AS day, hash, verdict, version
FROM (
    SELECT *, row_number() OVER (PARTITION BY hash ORDER BY version DESC, imported_at DESC) AS place FROM reviews
)
WHERE place = 1 AND verdict IN ('true_positive', 'false_positive')
ORDER BY day, hash
