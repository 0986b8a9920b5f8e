-- Stage 4, models: in how many lines of a bucket each token occurs.
SELECT cmd_frequencies(command_line) AS state
FROM commands
