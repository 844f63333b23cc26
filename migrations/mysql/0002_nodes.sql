-- The nodes that share this database, by their own names, and when each was last heard of by
-- this server's clock.
CREATE TABLE nodes (
    node_id VARCHAR(255) NOT NULL PRIMARY KEY,
    run_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version VARCHAR(32) NOT NULL,
    started_at DATETIME(3) NOT NULL,
    heartbeat_at DATETIME(3) NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What one node asks of another: to end a session.
CREATE TABLE commands (
    command_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    node_id VARCHAR(255) NOT NULL,
    session_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    detail TEXT NOT NULL,
    created_at DATETIME(3) NOT NULL,
    answered_at DATETIME(3) NULL,
    answer VARCHAR(32) NULL,
    INDEX idx_commands_node_id (node_id, answered_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
