-- expire: deletes a bounded number of the oldest sessions that ended before a time.
-- Running sessions have no end and are never found.
DELETE FROM sessions WHERE end_time < ? ORDER BY end_time LIMIT ?
