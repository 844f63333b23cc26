-- Sums of sessions by the minute, hour and day in which they started ("span", in seconds; "start",
-- in seconds since 1970), per user and per destination, kept by whoever writes the rows.
CREATE TABLE rollups (
    kind TEXT NOT NULL,
    span INTEGER NOT NULL,
    start INTEGER NOT NULL,
    node_id TEXT NOT NULL,
    name TEXT NOT NULL,
    sessions INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    bytes_sent INTEGER NOT NULL,
    bytes_received INTEGER NOT NULL,
    PRIMARY KEY (kind, span, start, node_id, name)
) WITHOUT ROWID;

-- The same, counted from the rows: what the sums must be.
CREATE VIEW rollups_recounted AS
SELECT kind, span, CAST(strftime('%s', start_time) AS INTEGER) / span * span AS start, node_id,
    name, COUNT(*) AS sessions, SUM(status = 'failed') AS failed,
    SUM(status = 'rejected_by_acl') AS rejected, SUM(bytes_sent) AS bytes_sent,
    SUM(bytes_received) AS bytes_received
FROM (
    SELECT 'user' AS kind, user AS name, start_time, node_id, status, bytes_sent, bytes_received
    FROM sessions
    UNION ALL
    SELECT 'dest',
        CASE WHEN instr(COALESCE(dest_host, dest_ip), ':') > 0
            THEN '[' || COALESCE(dest_host, dest_ip) || ']:' || dest_port
            ELSE COALESCE(dest_host, dest_ip) || ':' || dest_port
        END,
        start_time, node_id, status, bytes_sent, bytes_received
    FROM sessions
)
CROSS JOIN (SELECT 60 AS span UNION ALL SELECT 3600 UNION ALL SELECT 86400)
GROUP BY kind, span, CAST(strftime('%s', start_time) AS INTEGER) / span, node_id, name;

INSERT INTO rollups SELECT * FROM rollups_recounted;

-- Bytes by the hour in which they flowed, as far as records of running sessions tell.
CREATE TABLE usage_hours (
    user TEXT NOT NULL,
    start INTEGER NOT NULL,
    node_id TEXT NOT NULL,
    bytes_sent INTEGER NOT NULL,
    bytes_received INTEGER NOT NULL,
    PRIMARY KEY (user, start, node_id)
) WITHOUT ROWID;

CREATE INDEX idx_usage_hours_start ON usage_hours(start);

-- Of rows that were there before only the last state is known.
INSERT INTO usage_hours
SELECT user, CAST(strftime('%s', updated_at) AS INTEGER) / 3600 * 3600, node_id, SUM(bytes_sent),
    SUM(bytes_received)
FROM sessions
WHERE bytes_sent + bytes_received > 0
GROUP BY 1, 2, 3;

-- How often each node has written.
CREATE TABLE rollup_versions (
    node_id TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL
) WITHOUT ROWID;

-- "Who was this": our side of a connection. Not more: an index whose order is not that of time
-- costs each row a page of its own.
CREATE INDEX idx_sessions_egress ON sessions(egress_port, egress_ip) WHERE egress_port IS NOT NULL;
