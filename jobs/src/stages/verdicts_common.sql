-- Stage 4, models: what was judged an attack, and is said today by so many more actors than it was judged of that it tells nothing.
SELECT said
FROM alike
WHERE verdict = 'true_positive'
GROUP BY said
HAVING count(DISTINCT coalesce(actor, '')) > {times} * max(judged_actors)
ORDER BY said
