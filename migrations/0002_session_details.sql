-- What the ledger knows of a session beyond the published columns.
ALTER TABLE sessions ADD COLUMN dest_host TEXT;
ALTER TABLE sessions ADD COLUMN egress_ip TEXT;
ALTER TABLE sessions ADD COLUMN egress_port INTEGER;
ALTER TABLE sessions ADD COLUMN command TEXT;
ALTER TABLE sessions ADD COLUMN duration_ms INTEGER;
ALTER TABLE sessions ADD COLUMN connect_ms INTEGER;
ALTER TABLE sessions ADD COLUMN close_detail TEXT;
ALTER TABLE sessions ADD COLUMN node_id TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN updated_at TEXT;

-- History pages and retention walk along the end; running sessions have none and cost nothing.
CREATE INDEX idx_sessions_end_time ON sessions(end_time) WHERE end_time IS NOT NULL;
