-- Every fault as it happens. No window: rows leave as they come.
SELECT ts, line, machine, temperature, vibration
FROM sensors
WHERE status = 'fault'
