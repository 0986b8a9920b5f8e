-- Stage 4, models: what was fitted, on what.
SELECT {day} AS day, kind, sha256, path, rows, bytes, trained_on, params
FROM (VALUES {rows}) AS fitted (kind, sha256, path, rows, bytes, trained_on, params)
ORDER BY kind
