-- Stage 6, similarities: what was most similar to each line that stood for its template.
SELECT {day} AS day, hash, near['hash'] AS similar_to, near['day'] AS similar_day, near['cosine'] AS cosine, {embedder} AS embedder
FROM (SELECT hash, unnest(near) AS near FROM decisions)
ORDER BY hash, cosine DESC, similar_day, similar_to
