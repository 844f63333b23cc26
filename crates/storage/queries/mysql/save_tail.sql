-- A row that is final stays, but for one that somebody else took for crashed while it went on.
-- An older state never replaces a newer one, but an end replaces any state that has none: whoever
-- read that state may have read the clock a moment after the session had ended. An end that was
-- only concluded is no newer than what it was concluded from. `replaces` in store.rs says the same.
-- Assignments are made in this order and see what came before them: the last three, on which the
-- condition rests, tell by one another whether it held.
ON DUPLICATE KEY UPDATE
    user = IF((end_time IS NULL
        AND (VALUES(close_reason) <> 'server_crash' OR VALUES(updated_at) >= updated_at))
        OR (close_reason = 'server_crash' AND VALUES(updated_at) > updated_at),
        VALUES(user), user),
    duration_secs = IF((end_time IS NULL
        AND (VALUES(close_reason) <> 'server_crash' OR VALUES(updated_at) >= updated_at))
        OR (close_reason = 'server_crash' AND VALUES(updated_at) > updated_at),
        VALUES(duration_secs), duration_secs),
    dest_ip = IF((end_time IS NULL
        AND (VALUES(close_reason) <> 'server_crash' OR VALUES(updated_at) >= updated_at))
        OR (close_reason = 'server_crash' AND VALUES(updated_at) > updated_at),
        VALUES(dest_ip), dest_ip),
    dest_port = IF((end_time IS NULL
        AND (VALUES(close_reason) <> 'server_crash' OR VALUES(updated_at) >= updated_at))
        OR (close_reason = 'server_crash' AND VALUES(updated_at) > updated_at),
        VALUES(dest_port), dest_port),
    bytes_sent = IF((end_time IS NULL
        AND (VALUES(close_reason) <> 'server_crash' OR VALUES(updated_at) >= updated_at))
        OR (close_reason = 'server_crash' AND VALUES(updated_at) > updated_at),
        VALUES(bytes_sent), bytes_sent),
    bytes_received = IF((end_time IS NULL
        AND (VALUES(close_reason) <> 'server_crash' OR VALUES(updated_at) >= updated_at))
        OR (close_reason = 'server_crash' AND VALUES(updated_at) > updated_at),
        VALUES(bytes_received), bytes_received),
    packets_sent = IF((end_time IS NULL
        AND (VALUES(close_reason) <> 'server_crash' OR VALUES(updated_at) >= updated_at))
        OR (close_reason = 'server_crash' AND VALUES(updated_at) > updated_at),
        VALUES(packets_sent), packets_sent),
    packets_received = IF((end_time IS NULL
        AND (VALUES(close_reason) <> 'server_crash' OR VALUES(updated_at) >= updated_at))
        OR (close_reason = 'server_crash' AND VALUES(updated_at) > updated_at),
        VALUES(packets_received), packets_received),
    status = IF((end_time IS NULL
        AND (VALUES(close_reason) <> 'server_crash' OR VALUES(updated_at) >= updated_at))
        OR (close_reason = 'server_crash' AND VALUES(updated_at) > updated_at),
        VALUES(status), status),
    acl_rule_matched = IF((end_time IS NULL
        AND (VALUES(close_reason) <> 'server_crash' OR VALUES(updated_at) >= updated_at))
        OR (close_reason = 'server_crash' AND VALUES(updated_at) > updated_at),
        VALUES(acl_rule_matched), acl_rule_matched),
    acl_decision = IF((end_time IS NULL
        AND (VALUES(close_reason) <> 'server_crash' OR VALUES(updated_at) >= updated_at))
        OR (close_reason = 'server_crash' AND VALUES(updated_at) > updated_at),
        VALUES(acl_decision), acl_decision),
    dest_host = IF((end_time IS NULL
        AND (VALUES(close_reason) <> 'server_crash' OR VALUES(updated_at) >= updated_at))
        OR (close_reason = 'server_crash' AND VALUES(updated_at) > updated_at),
        VALUES(dest_host), dest_host),
    egress_ip = IF((end_time IS NULL
        AND (VALUES(close_reason) <> 'server_crash' OR VALUES(updated_at) >= updated_at))
        OR (close_reason = 'server_crash' AND VALUES(updated_at) > updated_at),
        VALUES(egress_ip), egress_ip),
    egress_port = IF((end_time IS NULL
        AND (VALUES(close_reason) <> 'server_crash' OR VALUES(updated_at) >= updated_at))
        OR (close_reason = 'server_crash' AND VALUES(updated_at) > updated_at),
        VALUES(egress_port), egress_port),
    duration_ms = IF((end_time IS NULL
        AND (VALUES(close_reason) <> 'server_crash' OR VALUES(updated_at) >= updated_at))
        OR (close_reason = 'server_crash' AND VALUES(updated_at) > updated_at),
        VALUES(duration_ms), duration_ms),
    connect_ms = IF((end_time IS NULL
        AND (VALUES(close_reason) <> 'server_crash' OR VALUES(updated_at) >= updated_at))
        OR (close_reason = 'server_crash' AND VALUES(updated_at) > updated_at),
        VALUES(connect_ms), connect_ms),
    close_detail = IF((end_time IS NULL
        AND (VALUES(close_reason) <> 'server_crash' OR VALUES(updated_at) >= updated_at))
        OR (close_reason = 'server_crash' AND VALUES(updated_at) > updated_at),
        VALUES(close_detail), close_detail),
    end_time = IF((end_time IS NULL
        AND (VALUES(close_reason) <> 'server_crash' OR VALUES(updated_at) >= updated_at))
        OR (close_reason = 'server_crash' AND VALUES(updated_at) > updated_at),
        VALUES(end_time), end_time),
    updated_at = IF(end_time <=> VALUES(end_time)
        AND (close_reason IS NULL OR close_reason = 'server_crash'),
        IF(VALUES(end_time) IS NULL, GREATEST(updated_at, VALUES(updated_at)), VALUES(updated_at)),
        updated_at),
    close_reason = IF(end_time <=> VALUES(end_time) AND updated_at = VALUES(updated_at)
        AND (close_reason IS NULL OR close_reason = 'server_crash'),
        VALUES(close_reason), close_reason)
