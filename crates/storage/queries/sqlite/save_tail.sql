-- A row that is final stays, but for one that somebody else took for crashed while it went on.
-- An older state never replaces a newer one, but an end replaces any state that has none: whoever
-- read that state may have read the clock a moment after the session had ended. An end that was
-- only concluded is no newer than what it was concluded from. `replaces` in store.rs says the same.
ON CONFLICT(session_id) DO UPDATE SET
    user = excluded.user,
    end_time = excluded.end_time,
    duration_secs = excluded.duration_secs,
    dest_ip = excluded.dest_ip,
    dest_port = excluded.dest_port,
    bytes_sent = excluded.bytes_sent,
    bytes_received = excluded.bytes_received,
    packets_sent = excluded.packets_sent,
    packets_received = excluded.packets_received,
    status = excluded.status,
    close_reason = excluded.close_reason,
    acl_rule_matched = excluded.acl_rule_matched,
    acl_decision = excluded.acl_decision,
    dest_host = excluded.dest_host,
    egress_ip = excluded.egress_ip,
    egress_port = excluded.egress_port,
    duration_ms = excluded.duration_ms,
    connect_ms = excluded.connect_ms,
    close_detail = excluded.close_detail,
    updated_at = excluded.updated_at
WHERE (sessions.end_time IS NULL
        AND (excluded.close_reason <> 'server_crash' OR excluded.updated_at >= sessions.updated_at))
    OR (sessions.close_reason = 'server_crash' AND excluded.updated_at > sessions.updated_at)
