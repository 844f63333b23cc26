-- The metrics history: what a node did in each span of time that ended at "taken_ms" (milliseconds
-- since 1970). Counts, not rates, so that points can be added up.
CREATE TABLE metrics_points (
    taken_ms BIGINT NOT NULL,
    node_id TEXT COLLATE "C" NOT NULL,
    span_ms BIGINT NOT NULL,
    active_sessions BIGINT NOT NULL,
    journal_backlog BIGINT NOT NULL,
    sessions BIGINT NOT NULL,
    bytes_sent BIGINT NOT NULL,
    bytes_received BIGINT NOT NULL,
    PRIMARY KEY (taken_ms, node_id)
);
