-- expire: deletes a bounded number of the oldest sessions that ended before a time.
-- Running sessions have no end and are never found.
DELETE FROM sessions
WHERE session_id IN (
    SELECT session_id FROM sessions
    WHERE end_time IS NOT NULL AND end_time < $1::timestamptz
    ORDER BY end_time
    LIMIT $2
)
