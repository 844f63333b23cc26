-- Sums of sessions by the minute, hour and day in which they started ("span", in seconds; "start",
-- in seconds since 1970), per user and per destination, kept by whoever writes the rows.
CREATE TABLE rollups (
    kind TEXT COLLATE "C" NOT NULL,
    span BIGINT NOT NULL,
    start BIGINT NOT NULL,
    node_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    sessions BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    bytes_sent BIGINT NOT NULL,
    bytes_received BIGINT NOT NULL,
    PRIMARY KEY (kind, span, start, node_id, name)
);

-- The same, counted from the rows: what the sums must be.
CREATE VIEW rollups_recounted AS
SELECT kind, span, FLOOR(EXTRACT(EPOCH FROM start_time))::bigint / span * span AS start,
    node_id COLLATE "C" AS node_id, name, COUNT(*) AS sessions,
    COUNT(*) FILTER (WHERE status = 'failed') AS failed,
    COUNT(*) FILTER (WHERE status = 'rejected_by_acl') AS rejected,
    SUM(bytes_sent)::bigint AS bytes_sent, SUM(bytes_received)::bigint AS bytes_received
FROM (
    SELECT 'user' COLLATE "C" AS kind, "user" AS name, start_time, node_id, status, bytes_sent,
        bytes_received
    FROM sessions
    UNION ALL
    SELECT 'dest',
        CASE WHEN strpos(COALESCE(dest_host, dest_ip), ':') > 0
            THEN '[' || COALESCE(dest_host, dest_ip COLLATE "C") || ']:' || dest_port
            ELSE COALESCE(dest_host, dest_ip COLLATE "C") || ':' || dest_port
        END,
        start_time, node_id, status, bytes_sent, bytes_received
    FROM sessions
) AS rows
CROSS JOIN (VALUES (60::bigint), (3600), (86400)) AS spans (span)
GROUP BY 1, 2, 3, 4, 5;

INSERT INTO rollups SELECT * FROM rollups_recounted;

-- Bytes by the hour in which they flowed, as far as records of running sessions tell.
CREATE TABLE usage_hours (
    "user" TEXT COLLATE "C" NOT NULL,
    start BIGINT NOT NULL,
    node_id TEXT COLLATE "C" NOT NULL,
    bytes_sent BIGINT NOT NULL,
    bytes_received BIGINT NOT NULL,
    PRIMARY KEY ("user", start, node_id)
);

CREATE INDEX idx_usage_hours_start ON usage_hours (start);

-- Of rows that were there before only the last state is known.
INSERT INTO usage_hours
SELECT "user", FLOOR(EXTRACT(EPOCH FROM updated_at))::bigint / 3600 * 3600, node_id,
    SUM(bytes_sent)::bigint, SUM(bytes_received)::bigint
FROM sessions
WHERE bytes_sent + bytes_received > 0
GROUP BY 1, 2, 3;

-- How often each node has written.
CREATE TABLE rollup_versions (
    node_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL
);

-- "Who was this": our side of a connection. Not more: an index whose order is not that of time
-- costs each row a page of its own.
CREATE INDEX idx_sessions_egress ON sessions (egress_port, egress_ip)
    WHERE egress_port IS NOT NULL;
