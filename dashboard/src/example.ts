// A session for tests.
import type { Session } from "./api/session";

export function example(changes: Partial<Session> = {}): Session {
  return {
    session_id: "01a209d1-312c-7766-9078-e3ca9fe9a20f",
    user: "alice",
    start_time: "2026-01-02T03:04:05.000+00:00",
    end_time: null,
    duration_secs: null,
    duration_ms: null,
    source_ip: "198.51.100.7",
    source_port: 50123,
    dest_ip: "192.0.2.1",
    dest_port: 443,
    dest_host: "example.com",
    protocol: "tcp",
    command: "connect",
    bytes_sent: 0,
    bytes_received: 0,
    packets_sent: 0,
    packets_received: 0,
    status: "active",
    close_reason: null,
    close_detail: null,
    acl_rule_matched: null,
    acl_decision: null,
    egress_ip: "203.0.113.5",
    egress_port: 40000,
    connect_ms: 12,
    node_id: "gateway-1",
    updated_at: "2026-01-02T03:04:05.000+00:00",
    ...changes,
  };
}
