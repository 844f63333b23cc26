-- close_crashed: ends the rows that a dead process left open.
-- They end when they were last known alive, never "now".
UPDATE sessions
SET status = 'failed',
    close_reason = 'server_crash',
    end_time = updated_at,
    duration_ms = TIMESTAMPDIFF(MICROSECOND, start_time, updated_at) DIV 1000,
    duration_secs = TIMESTAMPDIFF(MICROSECOND, start_time, updated_at) DIV 1000000
WHERE status = 'active' AND node_id = ?
