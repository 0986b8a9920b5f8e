-- Lines of a day that hide something encoded, with what they decode to and what the labeller said: the ones to read first when a
-- rule on base64 or hexadecimal is to be written.
--   gleaner submit jobs/examples/encoded_lines.sql --set date=2025-01-02
CREATE VIEW decoded AS
SELECT day, hash, command_line, hosts, events, cmd_decode(command_line) AS layers
FROM commands
WHERE day = $date;

SELECT d.day, d.hash, d.hosts, d.events, l.verdict, array_to_string(d.layers, ' | ') AS decoded, d.command_line
FROM decoded AS d LEFT JOIN labels AS l ON l.day = d.day AND l.hash = d.hash
WHERE array_length(d.layers) > 0
ORDER BY d.hosts, d.events, d.hash
