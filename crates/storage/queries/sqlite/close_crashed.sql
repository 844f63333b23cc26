-- close_crashed: ends the rows that a dead process left open.
-- They end when they were last known alive, never "now". Rows without a node are those of a
-- version that wrote none.
UPDATE sessions
SET status = 'failed',
    close_reason = 'server_crash',
    end_time = COALESCE(updated_at, start_time),
    duration_ms = CAST(ROUND(
        (julianday(COALESCE(updated_at, start_time)) - julianday(start_time)) * 86400000
    ) AS INTEGER),
    duration_secs = CAST(ROUND(
        (julianday(COALESCE(updated_at, start_time)) - julianday(start_time)) * 86400000
    ) AS INTEGER) / 1000
WHERE status = 'active' AND node_id IN (?1, '')
