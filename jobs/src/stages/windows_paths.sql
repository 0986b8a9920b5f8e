-- Stage 3, windows: the paths of a bucket's requests that did not fail, from which endpoints' templates are learned.
SELECT api_paths(host, path) AS state
FROM requests
WHERE coalesce(status, 0) < 400 AND coalesce(error_code, '') = ''
