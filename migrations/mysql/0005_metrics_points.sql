-- The metrics history: what a node did in each span of time that ended at "taken_ms" (milliseconds
-- since 1970). Counts, not rates, so that points can be added up.
CREATE TABLE metrics_points (
    taken_ms BIGINT NOT NULL,
    node_id VARBINARY(1020) NOT NULL,
    span_ms BIGINT NOT NULL,
    active_sessions BIGINT NOT NULL,
    journal_backlog BIGINT NOT NULL,
    sessions BIGINT NOT NULL,
    bytes_sent BIGINT NOT NULL,
    bytes_received BIGINT NOT NULL,
    PRIMARY KEY (taken_ms, node_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
