-- The nodes that share this database, by their own names, and when each was last heard of by
-- this server's clock.
CREATE TABLE nodes (
    node_id TEXT PRIMARY KEY,
    run_id UUID NOT NULL,
    version TEXT NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    heartbeat_at TIMESTAMPTZ NOT NULL
);

-- What one node asks of another: to end a session.
CREATE TABLE commands (
    command_id UUID PRIMARY KEY,
    node_id TEXT NOT NULL,
    session_id UUID NOT NULL,
    detail TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    answered_at TIMESTAMPTZ,
    answer TEXT
);

CREATE INDEX idx_commands_node_id ON commands (node_id, answered_at);
