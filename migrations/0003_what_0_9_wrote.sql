-- Rows that RustSocks 0.9 wrote, in the forms of today: times of one width in UTC, so that text
-- order is time order; the vocabulary of today, what 0.9 wrote instead kept in close_detail.
-- Rows of today are none of these and stay as they are.
UPDATE sessions
SET start_time = COALESCE(strftime('%Y-%m-%dT%H:%M:%f+00:00', start_time), start_time)
WHERE start_time NOT GLOB '????-??-??T??:??:??.???+00:00';

UPDATE sessions
SET end_time = COALESCE(strftime('%Y-%m-%dT%H:%M:%f+00:00', end_time), end_time)
WHERE end_time IS NOT NULL AND end_time NOT GLOB '????-??-??T??:??:??.???+00:00';

UPDATE sessions
SET protocol = lower(protocol),
    status = CASE
        WHEN lower(status) IN ('active', 'closed', 'failed', 'rejected_by_acl') THEN lower(status)
        ELSE 'failed'
    END,
    acl_decision = CASE lower(acl_decision) WHEN 'allow' THEN 'allow' WHEN 'block' THEN 'block' END
WHERE updated_at IS NULL;

UPDATE sessions
SET end_time = start_time
WHERE updated_at IS NULL AND status <> 'active' AND end_time IS NULL;

UPDATE sessions
SET close_detail = close_reason,
    close_reason = CASE status
        WHEN 'closed' THEN 'client_closed'
        WHEN 'rejected_by_acl' THEN 'rejected_by_acl'
        ELSE 'relay_error'
    END
WHERE updated_at IS NULL AND status <> 'active'
    AND COALESCE(close_reason, '') NOT IN (
        'client_closed', 'destination_closed', 'client_reset', 'destination_reset',
        'client_error', 'destination_error', 'idle_timeout', 'half_closed_timeout',
        'handshake_timeout', 'admin_terminated', 'server_shutdown', 'server_crash',
        'relay_error', 'acl_revoked', 'limit_exceeded', 'dns_failed', 'connect_refused',
        'connect_timeout', 'connect_unreachable', 'auth_failed', 'protocol_error',
        'rejected_by_acl'
    );

UPDATE sessions
SET duration_ms = COALESCE(duration_secs, 0) * 1000,
    duration_secs = COALESCE(duration_secs, 0)
WHERE updated_at IS NULL AND status <> 'active';

UPDATE sessions
SET updated_at = COALESCE(end_time, start_time)
WHERE updated_at IS NULL;
