SELECT session_id::text AS session_id, "user",
    to_char(start_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"+00:00"') AS start_time,
    to_char(end_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"+00:00"') AS end_time,
    duration_secs, source_ip, source_port, dest_ip, dest_port, protocol, bytes_sent,
    bytes_received, packets_sent, packets_received, status, close_reason, acl_rule_matched,
    acl_decision, dest_host, egress_ip, egress_port, command, duration_ms, connect_ms,
    close_detail, node_id,
    to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"+00:00"') AS updated_at
FROM sessions
