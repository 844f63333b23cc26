-- save: writes the newest state of sessions, whatever is there already.
INSERT INTO sessions (
    session_id, "user", start_time, end_time, duration_secs, source_ip, source_port, dest_ip,
    dest_port, protocol, bytes_sent, bytes_received, packets_sent, packets_received, status,
    close_reason, acl_rule_matched, acl_decision, dest_host, egress_ip, egress_port, command,
    duration_ms, connect_ms, close_detail, node_id, updated_at
) VALUES
