-- Part of stage 6, candidates: vectors of the texts of a few buckets.
SELECT {day} AS day, {embedder} AS embedder, text_hash, embed(text, {address}) AS vector
FROM missing
WHERE bucket >= {low} AND bucket < {high}
ORDER BY text_hash
