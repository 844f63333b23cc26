// Sessions as a file made here, in the form of the server's own export: for what the server cannot
// filter, and for a view that is paused.
import type { Session } from "../../api/session";

/** The columns of the server's export, in their order. */
export const FILE_COLUMNS = [
  "session_id",
  "user",
  "start_time",
  "end_time",
  "duration_secs",
  "duration_ms",
  "source_ip",
  "source_port",
  "dest_ip",
  "dest_port",
  "dest_host",
  "protocol",
  "command",
  "bytes_sent",
  "bytes_received",
  "packets_sent",
  "packets_received",
  "status",
  "close_reason",
  "close_detail",
  "acl_rule_matched",
  "acl_decision",
  "egress_ip",
  "egress_port",
  "connect_ms",
  "node_id",
  "updated_at",
] as const satisfies readonly (keyof Session)[];

/** RFC 4180: a field with a quote, a comma or a line's end is quoted. */
function field(value: string | number | null | undefined): string {
  const text = value === null || value === undefined ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function toCsv(sessions: readonly Session[]): string {
  const line = (values: readonly (string | number | null | undefined)[]): string =>
    `${values.map(field).join(",")}\r\n`;
  const rows = sessions.map((session) => line(FILE_COLUMNS.map((name) => session[name])));
  return line(FILE_COLUMNS) + rows.join("");
}

export function toNdjson(sessions: readonly Session[]): string {
  return sessions
    .map(
      (session) =>
        `${JSON.stringify(Object.fromEntries(FILE_COLUMNS.map((name) => [name, session[name] ?? null])))}\n`,
    )
    .join("");
}

/** Hands the visitor a file. */
export function download(url: string, name: string): void {
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
}

export function downloadText(text: string, type: string, name: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  download(url, name);
  // The browser has taken the file once the click's task is over.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
