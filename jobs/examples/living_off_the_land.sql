-- System tools that attackers like, where they ran on few hosts of a day: one row a template, with an example.
--   gleaner submit jobs/examples/living_off_the_land.sql --set date=2025-01-02 --set hosts=2 --into living_off_the_land
SELECT day, regexp_replace(lower(image), '^.*[\\/]', '') AS program, template, max(hosts) AS hosts, sum(events) AS events,
       array_to_string(cmd_behaviors(min(command_line)), ' ') AS behaviors, min(command_line) AS example
FROM commands
WHERE day = $date
  AND regexp_replace(lower(image), '^.*[\\/]', '') IN (
    'bitsadmin.exe', 'certutil.exe', 'cmstp.exe', 'cscript.exe', 'diskshadow.exe', 'esentutl.exe', 'installutil.exe',
    'msbuild.exe', 'mshta.exe', 'msiexec.exe', 'netsh.exe', 'reg.exe', 'regsvr32.exe', 'rundll32.exe', 'schtasks.exe',
    'wmic.exe', 'wscript.exe', 'osascript', 'curl', 'nc', 'socat', 'xxd', 'openssl')
GROUP BY day, regexp_replace(lower(image), '^.*[\\/]', ''), template
HAVING max(hosts) <= $hosts
ORDER BY program, hosts, events, template
