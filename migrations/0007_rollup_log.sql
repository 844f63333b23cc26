-- By how much each write of a writer changes the sums of a minute. What is here is added to
-- "rollups", and deleted here, every few seconds: to add many changes of a name at once costs less
-- than to add each.
CREATE TABLE rollup_log (
    writer TEXT NOT NULL,
    version INTEGER NOT NULL,
    nth INTEGER NOT NULL,
    kind TEXT NOT NULL,
    start INTEGER NOT NULL,
    node_id TEXT NOT NULL,
    name TEXT NOT NULL,
    sessions INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    bytes_sent INTEGER NOT NULL,
    bytes_received INTEGER NOT NULL,
    PRIMARY KEY (writer, version, nth)
) WITHOUT ROWID;

-- All sums that are kept, in as many parts as there are.
CREATE VIEW rollups_kept AS
SELECT kind, span, start, node_id, name, sessions, failed, rejected, bytes_sent, bytes_received
FROM rollups
UNION ALL
SELECT kind, span, start / span * span, node_id, name, sessions, failed, rejected, bytes_sent,
    bytes_received
FROM rollup_log
CROSS JOIN (SELECT 60 AS span UNION ALL SELECT 3600 UNION ALL SELECT 86400);
