-- What failed and was refused, summed by reason, and by the rule that refused it (its first 255
-- characters), beside the sums per user and per destination.
DROP VIEW rollups_recounted;

CREATE VIEW rollups_recounted AS
SELECT kind, span, TIMESTAMPDIFF(SECOND, '1970-01-01', start_time) DIV span * span AS start,
    CAST(node_id AS BINARY) AS node_id, CAST(name AS BINARY) AS name, COUNT(*) AS sessions,
    CAST(SUM(status = 'failed') AS SIGNED) AS failed,
    CAST(SUM(status = 'rejected_by_acl') AS SIGNED) AS rejected,
    CAST(SUM(bytes_sent) AS SIGNED) AS bytes_sent,
    CAST(SUM(bytes_received) AS SIGNED) AS bytes_received
FROM (
    SELECT 'user' AS kind, CAST(user AS BINARY) AS name, start_time, node_id, status, bytes_sent,
        bytes_received
    FROM sessions
    UNION ALL
    SELECT 'dest',
        CAST(CASE WHEN INSTR(COALESCE(dest_host, dest_ip), ':') > 0
            THEN CONCAT('[', COALESCE(dest_host, dest_ip), ']:', dest_port)
            ELSE CONCAT(COALESCE(dest_host, dest_ip), ':', dest_port)
        END AS BINARY),
        start_time, node_id, status, bytes_sent, bytes_received
    FROM sessions
    UNION ALL
    SELECT 'reason', CAST(close_reason AS BINARY), start_time, node_id, status, bytes_sent,
        bytes_received
    FROM sessions
    WHERE status IN ('failed', 'rejected_by_acl') AND close_reason IS NOT NULL
    UNION ALL
    SELECT 'rule', CAST(LEFT(acl_rule_matched, 255) AS BINARY), start_time, node_id, status,
        bytes_sent, bytes_received
    FROM sessions
    WHERE status = 'rejected_by_acl' AND acl_rule_matched IS NOT NULL
) AS row_sums
CROSS JOIN (SELECT 60 AS span UNION ALL SELECT 3600 UNION ALL SELECT 86400) AS spans
GROUP BY 1, 2, 3, 4, 5;

INSERT INTO rollups SELECT * FROM rollups_recounted WHERE kind IN ('reason', 'rule');
