-- By how much each write of a writer changes the sums of a minute. What is here is added to
-- "rollups", and deleted here, every few seconds: to add many changes of a name at once costs less
-- than to add each.
CREATE TABLE rollup_log (
    writer TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    nth BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    start BIGINT NOT NULL,
    node_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    sessions BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    bytes_sent BIGINT NOT NULL,
    bytes_received BIGINT NOT NULL,
    PRIMARY KEY (writer, version, nth)
);

-- All sums that are kept, in as many parts as there are.
CREATE VIEW rollups_kept AS
SELECT kind, span, start, node_id, name, sessions, failed, rejected, bytes_sent, bytes_received
FROM rollups
UNION ALL
SELECT kind, spans.span, start / spans.span * spans.span, node_id, name, sessions, failed,
    rejected, bytes_sent, bytes_received
FROM rollup_log
CROSS JOIN (VALUES (60::bigint), (3600), (86400)) AS spans (span);
