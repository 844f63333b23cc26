-- What failed and was refused, summed by reason, and by the rule that refused it (its first 255
-- characters), beside the sums per user and per destination.
DROP VIEW rollups_recounted;

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
    UNION ALL
    SELECT 'reason', close_reason, start_time, node_id, status, bytes_sent, bytes_received
    FROM sessions
    WHERE status IN ('failed', 'rejected_by_acl') AND close_reason IS NOT NULL
    UNION ALL
    SELECT 'rule', substr(acl_rule_matched, 1, 255), start_time, node_id, status,
        bytes_sent, bytes_received
    FROM sessions
    WHERE status = 'rejected_by_acl' AND acl_rule_matched IS NOT NULL
)
CROSS JOIN (SELECT 60 AS span UNION ALL SELECT 3600 UNION ALL SELECT 86400)
GROUP BY kind, span, CAST(strftime('%s', start_time) AS INTEGER) / span, node_id, name;

INSERT INTO rollups SELECT * FROM rollups_recounted WHERE kind IN ('reason', 'rule');
