-- What failed and was refused, summed by reason, and by the rule that refused it (its first 255
-- characters), beside the sums per user and per destination.
DROP VIEW rollups_recounted;

CREATE VIEW rollups_recounted AS
SELECT kind, span, FLOOR(EXTRACT(EPOCH FROM start_time))::bigint / span * span AS start,
    node_id COLLATE "C" AS node_id, name, COUNT(*) AS sessions,
    COUNT(*) FILTER (WHERE status = 'failed') AS failed,
    COUNT(*) FILTER (WHERE status = 'rejected_by_acl') AS rejected,
    SUM(bytes_sent)::bigint AS bytes_sent, SUM(bytes_received)::bigint AS bytes_received
FROM (
    SELECT 'user' COLLATE "C" AS kind, "user" AS name, start_time, node_id, status, bytes_sent,
        bytes_received
    FROM sessions
    UNION ALL
    SELECT 'dest',
        CASE WHEN strpos(COALESCE(dest_host, dest_ip), ':') > 0
            THEN '[' || COALESCE(dest_host, dest_ip COLLATE "C") || ']:' || dest_port
            ELSE COALESCE(dest_host, dest_ip COLLATE "C") || ':' || dest_port
        END,
        start_time, node_id, status, bytes_sent, bytes_received
    FROM sessions
    UNION ALL
    SELECT 'reason', close_reason COLLATE "C", start_time, node_id, status, bytes_sent,
        bytes_received
    FROM sessions
    WHERE status IN ('failed', 'rejected_by_acl') AND close_reason IS NOT NULL
    UNION ALL
    SELECT 'rule', left(acl_rule_matched COLLATE "C", 255), start_time, node_id, status,
        bytes_sent, bytes_received
    FROM sessions
    WHERE status = 'rejected_by_acl' AND acl_rule_matched IS NOT NULL
) AS rows
CROSS JOIN (VALUES (60::bigint), (3600), (86400)) AS spans (span)
GROUP BY 1, 2, 3, 4, 5;

INSERT INTO rollups SELECT * FROM rollups_recounted WHERE kind IN ('reason', 'rule');
