-- The metrics history: what a node did in each span of time that ended at "taken_ms" (milliseconds
-- since 1970). Counts, not rates, so that points can be added up.
CREATE TABLE metrics_points (
    taken_ms INTEGER NOT NULL,
    node_id TEXT NOT NULL,
    span_ms INTEGER NOT NULL,
    active_sessions INTEGER NOT NULL,
    journal_backlog INTEGER NOT NULL,
    sessions INTEGER NOT NULL,
    bytes_sent INTEGER NOT NULL,
    bytes_received INTEGER NOT NULL,
    PRIMARY KEY (taken_ms, node_id)
) WITHOUT ROWID;
