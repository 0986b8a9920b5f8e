-- Stage 4, models: how far the day is from the earlier day that models were fitted on; no row where none were asked for.
SELECT {day} AS day, CAST(trained_on AS DATE) AS trained_on, kind, name, psi, psi_limit, drifted, models
FROM (VALUES {rows}) AS measured (trained_on, kind, name, psi, psi_limit, drifted, models)
WHERE name <> ''
ORDER BY kind, name
