CREATE TABLE sessions (
    session_id TEXT PRIMARY KEY,
    user TEXT NOT NULL,
    start_time TEXT NOT NULL,
    end_time TEXT,
    duration_secs INTEGER,
    source_ip TEXT NOT NULL,
    source_port INTEGER NOT NULL,
    dest_ip TEXT NOT NULL,
    dest_port INTEGER NOT NULL,
    protocol TEXT NOT NULL,
    bytes_sent INTEGER NOT NULL,
    bytes_received INTEGER NOT NULL,
    packets_sent INTEGER NOT NULL,
    packets_received INTEGER NOT NULL,
    status TEXT NOT NULL,
    close_reason TEXT,
    acl_rule_matched TEXT,
    acl_decision TEXT
);
CREATE INDEX idx_sessions_user ON sessions(user);
CREATE INDEX idx_sessions_start_time ON sessions(start_time);
CREATE INDEX idx_sessions_status ON sessions(status);
INSERT INTO sessions VALUES
    ('550e8400-e29b-41d4-a716-446655440001', 'alice', '2025-10-25T09:00:00.5Z',
     '2025-10-25T09:00:05.5Z', 5, '192.168.1.100', 54321, '93.184.216.34', 443, 'tcp', 100, 200,
     1, 2, 'closed', 'Normal closure', 'Allow HTTPS', 'allow'),
    ('550e8400-e29b-41d4-a716-446655440002', 'bob', '2025-10-25T09:30:00.123456789+00:00', NULL,
     NULL, '192.168.1.101', 54322, '93.184.216.34', 443, 'tcp', 10, 20, 1, 2, 'active', NULL, NULL,
     'allow'),
    ('550e8400-e29b-41d4-a716-446655440003', 'carol', '2025-10-25T12:00:00+02:00',
     '2025-10-25T12:00:05+02:00', 5, '192.168.1.102', 54323, 'example.com', 80, 'TCP', 0, 0, 0, 0,
     'failed', 'connect_refused', NULL, 'Allow'),
    ('550e8400-e29b-41d4-a716-446655440004', 'dave', '2025-10-25 12:00:05.25',
     '2025-10-25 12:00:05.25', NULL, '192.168.1.103', 54324, '10.0.0.1', 22, 'tcp', 0, 0, 0, 0,
     'rejected_by_acl', 'Block SSH', 'Block SSH', 'block');
