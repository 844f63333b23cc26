// Orders of sessions.
import { destination } from "../../api/session";
import { RATE_STALE_MS, type Row } from "../../live";
import { lasted } from "../../parts/lasted";

/** Orders that the server knows for ended sessions, by its names. */
export const SERVER_KEYS = [
  "end_time",
  "start_time",
  "duration",
  "bytes_sent",
  "bytes_received",
  "bytes",
  "user",
] as const;

/** Orders that are known here, for running ones. */
export const SORT_KEYS = [...SERVER_KEYS, "dest", "source", "rate", "status", "rule"] as const;
export type SortKey = (typeof SORT_KEYS)[number];
export type ServerKey = (typeof SERVER_KEYS)[number];

export interface Sort {
  key: SortKey;
  down: boolean;
}

export function isServerKey(key: SortKey): key is ServerKey {
  return SERVER_KEYS.some((known) => known === key);
}

/** Reads `-bytes` (the largest first) or `user`; null where it is no order. */
export function parseSort(text: string | null): Sort | null {
  const name = text?.replace(/^-/, "");
  const key = SORT_KEYS.find((known) => known === name);
  return key === undefined ? null : { key, down: text?.startsWith("-") === true };
}

export function sortText({ key, down }: Sort): string {
  return down ? `-${key}` : key;
}

/** Bytes per second both ways now; 0 when nothing was heard for a while. */
export function rate(row: Row, now: number): number {
  return now - row.updatedMs > RATE_STALE_MS ? 0 : row.rateSent + row.rateReceived;
}

function text(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

/** How two rows compare, ascending. `now` is the server's time. */
export function comparison(key: SortKey, now: number): (left: Row, right: Row) => number {
  switch (key) {
    case "start_time":
      return (left, right) => left.startMs - right.startMs;
    case "end_time":
      return (left, right) => text(left.session.end_time ?? "~", right.session.end_time ?? "~");
    case "duration":
      return (left, right) =>
        lasted(left.session, left.startMs, now) - lasted(right.session, right.startMs, now);
    case "bytes_sent":
      return (left, right) => left.session.bytes_sent - right.session.bytes_sent;
    case "bytes_received":
      return (left, right) => left.session.bytes_received - right.session.bytes_received;
    case "bytes":
      return (left, right) =>
        left.session.bytes_sent +
        left.session.bytes_received -
        right.session.bytes_sent -
        right.session.bytes_received;
    case "rate":
      return (left, right) => rate(left, now) - rate(right, now);
    case "user":
      return (left, right) => text(left.session.user, right.session.user);
    case "dest":
      return (left, right) => text(destination(left.session), destination(right.session));
    case "source":
      return (left, right) => text(left.session.source_ip, right.session.source_ip);
    case "status":
      return (left, right) => text(left.session.status, right.session.status);
    case "rule":
      return (left, right) => text(left.session.acl_rule_matched ?? "", right.session.acl_rule_matched ?? "");
    default:
      return key satisfies never;
  }
}
