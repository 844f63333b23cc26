-- Sums of sessions by the minute, hour and day in which they started ("span", in seconds; "start",
-- in seconds since 1970), per user and per destination, kept by whoever writes the rows. Names are
-- bytes: the collations of this server take "a" and "a " for the same.
CREATE TABLE rollups (
    kind VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    span INT NOT NULL,
    start BIGINT NOT NULL,
    node_id VARBINARY(1020) NOT NULL,
    name VARBINARY(1100) NOT NULL,
    sessions BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    bytes_sent BIGINT NOT NULL,
    bytes_received BIGINT NOT NULL,
    PRIMARY KEY (kind, span, start, node_id, name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The same, counted from the rows: what the sums must be.
CREATE VIEW rollups_recounted AS
SELECT kind, span, TIMESTAMPDIFF(SECOND, '1970-01-01', start_time) DIV span * span AS start,
    CAST(node_id AS BINARY) AS node_id, CAST(name AS BINARY) AS name, COUNT(*) AS sessions,
    CAST(SUM(status = 'failed') AS SIGNED) AS failed,
    CAST(SUM(status = 'rejected_by_acl') AS SIGNED) AS rejected,
    CAST(SUM(bytes_sent) AS SIGNED) AS bytes_sent,
    CAST(SUM(bytes_received) AS SIGNED) AS bytes_received
FROM (
    SELECT 'user' AS kind, CAST(user AS BINARY) AS name, start_time, node_id, status, bytes_sent,
        bytes_received
    FROM sessions
    UNION ALL
    SELECT 'dest',
        CAST(CASE WHEN INSTR(COALESCE(dest_host, dest_ip), ':') > 0
            THEN CONCAT('[', COALESCE(dest_host, dest_ip), ']:', dest_port)
            ELSE CONCAT(COALESCE(dest_host, dest_ip), ':', dest_port)
        END AS BINARY),
        start_time, node_id, status, bytes_sent, bytes_received
    FROM sessions
) AS row_sums
CROSS JOIN (SELECT 60 AS span UNION ALL SELECT 3600 UNION ALL SELECT 86400) AS spans
GROUP BY 1, 2, 3, 4, 5;

INSERT INTO rollups SELECT * FROM rollups_recounted;

-- Bytes by the hour in which they flowed, as far as records of running sessions tell.
CREATE TABLE usage_hours (
    user VARBINARY(1020) NOT NULL,
    start BIGINT NOT NULL,
    node_id VARBINARY(1020) NOT NULL,
    bytes_sent BIGINT NOT NULL,
    bytes_received BIGINT NOT NULL,
    PRIMARY KEY (user, start, node_id),
    INDEX idx_usage_hours_start (start)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Of rows that were there before only the last state is known.
INSERT INTO usage_hours
SELECT CAST(user AS BINARY), TIMESTAMPDIFF(SECOND, '1970-01-01', updated_at) DIV 3600 * 3600,
    CAST(node_id AS BINARY), SUM(bytes_sent), SUM(bytes_received)
FROM sessions
WHERE bytes_sent + bytes_received > 0
GROUP BY 1, 2, 3;

-- How often each node has written.
CREATE TABLE rollup_versions (
    node_id VARBINARY(1020) NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- "Who was this": our side of a connection. Not more: an index whose order is not that of time
-- costs each row a page of its own.
CREATE INDEX idx_sessions_egress ON sessions (egress_port, egress_ip);
