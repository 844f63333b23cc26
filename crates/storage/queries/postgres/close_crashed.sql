-- close_crashed: ends the rows that a dead process left open.
-- They end when they were last known alive, never "now".
UPDATE sessions
SET status = 'failed',
    close_reason = 'server_crash',
    end_time = updated_at,
    duration_ms = (EXTRACT(EPOCH FROM updated_at - start_time) * 1000)::bigint,
    duration_secs = FLOOR(EXTRACT(EPOCH FROM updated_at - start_time))::bigint
WHERE status = 'active' AND node_id = $1
