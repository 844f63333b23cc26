// Sessions grouped by who, where to, or where from, with sums.
import { destination } from "../../api/session";
import type { Row } from "../../live";
import { rate, type Sort } from "./order";

export const GROUPINGS = ["user", "dest", "source_ip"] as const;
export type Grouping = (typeof GROUPINGS)[number];

export interface Group {
  /** The value that its sessions share. */
  key: string;
  rows: Row[];
  sent: number;
  received: number;
  /** Bytes per second, both ways. */
  rate: number;
  /** When its newest session started. */
  newest: number;
}

export function readGrouping(text: string | null): Grouping | null {
  return GROUPINGS.find((name) => name === text) ?? null;
}

export function groupingLabel(grouping: Grouping): string {
  switch (grouping) {
    case "user":
      return "User";
    case "dest":
      return "Destination";
    case "source_ip":
      return "Source";
    default:
      return grouping satisfies never;
  }
}

/** What a session is grouped under. */
export function groupKey(row: Row, grouping: Grouping): string {
  switch (grouping) {
    case "user":
      return row.session.user;
    case "dest":
      return destination(row.session);
    case "source_ip":
      return row.session.source_ip;
    default:
      return grouping satisfies never;
  }
}

/** The groups of rows; rows keep their order, groups are sorted as rows are where that makes sense. */
export function group(rows: readonly Row[], grouping: Grouping, sort: Sort | null, now: number): Group[] {
  const groups = new Map<string, Group>();
  for (const row of rows) {
    const key = groupKey(row, grouping);
    let found = groups.get(key);
    if (found === undefined) {
      found = { key, rows: [], sent: 0, received: 0, rate: 0, newest: 0 };
      groups.set(key, found);
    }
    found.rows.push(row);
    found.sent += row.session.bytes_sent;
    found.received += row.session.bytes_received;
    found.rate += rate(row, now);
    found.newest = Math.max(found.newest, row.startMs);
  }
  const measure = measureOf(sort);
  const turn = sort !== null && !sort.down ? -1 : 1;
  return [...groups.values()].sort(
    (left, right) =>
      turn * (measure(right) - measure(left)) || (left.key < right.key ? -1 : left.key > right.key ? 1 : 0),
  );
}

function measureOf(sort: Sort | null): (group: Group) => number {
  const key = sort?.key;
  switch (key) {
    case "bytes_sent":
      return (group) => group.sent;
    case "bytes_received":
      return (group) => group.received;
    case "bytes":
      return (group) => group.sent + group.received;
    case "rate":
      return (group) => group.rate;
    case "start_time":
    case "end_time":
      return (group) => group.newest;
    case undefined:
    case "duration":
    case "user":
    case "dest":
    case "source":
    case "status":
    case "rule":
      return (group) => group.rows.length;
    default:
      return key satisfies never;
  }
}

/** What a grouped list shows, line by line. */
export type Line = { kind: "row"; row: Row } | { kind: "group"; group: Group; open: boolean };

/** Groups, with the rows of those that are open below them. */
export function lines(groups: readonly Group[], open: ReadonlySet<string>): Line[] {
  const found: Line[] = [];
  for (const group of groups) {
    const isOpen = open.has(group.key);
    found.push({ kind: "group", group, open: isOpen });
    if (isOpen) for (const row of group.rows) found.push({ kind: "row", row });
  }
  return found;
}
