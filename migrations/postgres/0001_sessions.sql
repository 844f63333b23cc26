-- One row per session. Times are cut to milliseconds.
CREATE TABLE sessions (
    session_id UUID PRIMARY KEY,
    "user" TEXT COLLATE "C" NOT NULL,
    start_time TIMESTAMPTZ NOT NULL,
    end_time TIMESTAMPTZ,
    duration_secs BIGINT,
    source_ip TEXT NOT NULL,
    source_port BIGINT NOT NULL,
    dest_ip TEXT NOT NULL,
    dest_port BIGINT NOT NULL,
    protocol TEXT NOT NULL,
    bytes_sent BIGINT NOT NULL,
    bytes_received BIGINT NOT NULL,
    packets_sent BIGINT NOT NULL,
    packets_received BIGINT NOT NULL,
    status TEXT NOT NULL,
    close_reason TEXT,
    acl_rule_matched TEXT,
    acl_decision TEXT,
    dest_host TEXT COLLATE "C",
    egress_ip TEXT,
    egress_port BIGINT,
    command TEXT,
    duration_ms BIGINT,
    connect_ms BIGINT,
    close_detail TEXT,
    node_id TEXT NOT NULL DEFAULT '',
    updated_at TIMESTAMPTZ NOT NULL
);

CREATE INDEX idx_sessions_user ON sessions ("user");
CREATE INDEX idx_sessions_start_time ON sessions (start_time);
CREATE INDEX idx_sessions_status ON sessions (status, node_id);
CREATE INDEX idx_sessions_end_time ON sessions (end_time, session_id) WHERE end_time IS NOT NULL;
