-- By how much each write of a writer changes the sums of a minute. What is here is added to
-- "rollups", and deleted here, every few seconds: to add many changes of a name at once costs less
-- than to add each.
CREATE TABLE rollup_log (
    writer VARBINARY(1020) NOT NULL,
    version BIGINT NOT NULL,
    nth INT NOT NULL,
    kind VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    start BIGINT NOT NULL,
    node_id VARBINARY(1020) NOT NULL,
    name VARBINARY(1100) NOT NULL,
    sessions BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    bytes_sent BIGINT NOT NULL,
    bytes_received BIGINT NOT NULL,
    PRIMARY KEY (writer, version, nth)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- All sums that are kept, in as many parts as there are.
CREATE VIEW rollups_kept AS
SELECT kind, span, start, node_id, name, sessions, failed, rejected, bytes_sent, bytes_received
FROM rollups
UNION ALL
SELECT kind, spans.span, start DIV spans.span * spans.span, node_id, name, sessions, failed,
    rejected, bytes_sent, bytes_received
FROM rollup_log
CROSS JOIN (SELECT 60 AS span UNION ALL SELECT 3600 UNION ALL SELECT 86400) AS spans;
