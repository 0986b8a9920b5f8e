-- Stage 6, near-dedup: what becomes of the anomalies whose guard key is in one part: template dedup, then cosine within the
-- guard key, against the day itself and all earlier days. Lines of earlier days that another one covered cover nothing; they
-- are there to be told as similar.
WITH lines AS (
    SELECT guard, hash, command_line, template, events, day, FALSE AS earlier, FALSE AS kept FROM anomalies
    WHERE cmd_bucket(guard, {parts}) = {part}
    UNION ALL
    SELECT guard, hash, command_line, template, events, day, TRUE AS earlier, kept FROM history
    WHERE (kept OR covered_how = 'cosine')
      AND guard IN (SELECT guard FROM anomalies WHERE cmd_bucket(guard, {parts}) = {part})
),
-- The built-in embedder has no stored vectors: the function makes its own where there is none.
vectors AS (
    SELECT text_hash, first_value(vector ORDER BY day) AS vector FROM embeddings
    WHERE embedder = {embedder} AND text_hash IN (SELECT template FROM lines)
    GROUP BY text_hash
)
SELECT decision['hash'] AS hash,
       decision['covered_by'] AS covered_by,
       decision['covered_day'] AS covered_day,
       decision['covered_how'] AS covered_how,
       decision['cosine'] AS cosine,
       decision['covers'] AS covers,
       decision['near'] AS near
FROM (
    SELECT unnest(decided) AS decision
    FROM (
        SELECT cmd_near_duplicates(hash, command_line, template, events, day, earlier, {cosine}, kept, vector) AS decided
        FROM lines LEFT JOIN vectors ON template = text_hash
        GROUP BY guard
    )
)
