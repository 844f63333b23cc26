// What the sessions page looks for: read from the URL, written to it, asked of the server, and applied
// to rows here.
import { readReason, readStatus } from "../../api/session";
import type { Query } from "../../api/sessions";
import type { Row } from "../../live";
import { lasted } from "../../parts/lasted";
import { wordsOf } from "../../words";

/** Conditions with the names that the API has for them. */
export const CONDITIONS = [
  "user",
  "dest",
  "source_ip",
  "status",
  "close_reason",
  "protocol",
  "start_after",
  "start_before",
  "hours",
  "at",
  "min_bytes",
  "min_duration_secs",
  "dest_ip",
  "egress_ip",
  "egress_port",
  "node",
] as const;
export type Condition = (typeof CONDITIONS)[number];

/** Those that make no sense for running sessions. */
export const ENDED_ONLY: readonly Condition[] = ["status", "close_reason"];

/** Conditions that are set, and the text that is looked for (`q` in the URL). */
export interface Filter {
  text: string;
  conditions: Partial<Record<Condition, string>>;
}

export function conditionLabel(condition: Condition): string {
  switch (condition) {
    case "user":
      return "User";
    case "dest":
      return "Destination";
    case "source_ip":
      return "Source";
    case "status":
      return "Status";
    case "close_reason":
      return "Reason";
    case "protocol":
      return "Protocol";
    case "start_after":
      return "Started from";
    case "start_before":
      return "Started before";
    case "hours":
      return "Started in the last hours";
    case "at":
      return "Running at";
    case "min_bytes":
      return "At least bytes";
    case "min_duration_secs":
      return "At least seconds";
    case "dest_ip":
      return "Destination address";
    case "egress_ip":
      return "Egress address";
    case "egress_port":
      return "Egress port";
    case "node":
      return "Node";
    default:
      return condition satisfies never;
  }
}

export function readFilter(params: URLSearchParams): Filter {
  const conditions: Filter["conditions"] = {};
  for (const name of CONDITIONS) {
    const value = params.get(name);
    if (value !== null && value !== "" && isWord(name, value)) conditions[name] = value;
  }
  return { text: params.get("q") ?? "", conditions };
}

/** Whether the server could take the value: some conditions have a closed vocabulary. */
function isWord(name: Condition, value: string): boolean {
  if (name === "status") return readStatus(value) !== null;
  if (name === "close_reason") return readReason(value) !== null;
  return name !== "protocol" || readProtocol(value) !== null;
}

function readProtocol(text: string | undefined): "tcp" | "udp" | null {
  return text === "tcp" || text === "udp" ? text : null;
}

export function writeFilter(filter: Filter): Record<string, string> {
  return { ...(filter.text === "" ? {} : { q: filter.text }), ...filter.conditions };
}

/** The filter without what says nothing about running sessions. */
export function forRunning(filter: Filter): Filter {
  const conditions = { ...filter.conditions };
  for (const name of ENDED_ONLY) delete conditions[name];
  return { ...filter, conditions };
}

/** The server's form of the conditions; the text is not among them. */
export function toQuery({ conditions }: Filter): Query {
  const query: Query = {};
  const number = (value: string | undefined): number | undefined => {
    const parsed = Number(value);
    return value === undefined || !Number.isFinite(parsed) || parsed < 0 ? undefined : Math.floor(parsed);
  };
  if (conditions.user !== undefined) query.user = conditions.user;
  if (conditions.dest !== undefined) query.dest = conditions.dest;
  if (conditions.source_ip !== undefined) query.source_ip = conditions.source_ip;
  const status = readStatus(conditions.status ?? "");
  if (status !== null) query.status = status;
  const reason = readReason(conditions.close_reason ?? "");
  if (reason !== null) query.close_reason = reason;
  const protocol = readProtocol(conditions.protocol);
  if (protocol !== null) query.protocol = protocol;
  if (conditions.start_after !== undefined) query.start_after = conditions.start_after;
  if (conditions.start_before !== undefined) query.start_before = conditions.start_before;
  if (conditions.at !== undefined) query.at = conditions.at;
  if (conditions.dest_ip !== undefined) query.dest_ip = conditions.dest_ip;
  if (conditions.egress_ip !== undefined) query.egress_ip = conditions.egress_ip;
  if (conditions.node !== undefined) query.node = conditions.node;
  const hours = number(conditions.hours);
  if (hours !== undefined) query.hours = hours;
  const bytes = number(conditions.min_bytes);
  if (bytes !== undefined) query.min_bytes = bytes;
  const seconds = number(conditions.min_duration_secs);
  if (seconds !== undefined) query.min_duration_secs = seconds;
  const port = number(conditions.egress_port);
  if (port !== undefined) query.egress_port = port;
  return query;
}

/** The same for what started before a time as well. */
export function startedBefore(query: Query, time: string | null | undefined): Query {
  if (time == null) return query;
  const own = query.start_before;
  return { ...query, start_before: own != null && Date.parse(own) < Date.parse(time) ? own : time };
}

/**
 * Whether the server, asked with `toQuery`, finds the very running sessions that are shown here. It
 * knows no text, and what runs long enough may have changed when it is asked.
 */
export function serverKnows(filter: Filter): boolean {
  return filter.text.trim() === "" && filter.conditions.min_duration_secs === undefined;
}

/** Whether a row meets one condition. */
export type Test = (row: Row) => boolean;

/** The tests that a row must pass, the cheapest first. `now` is the server's time. */
export function tests(filter: Filter, now: number): Test[] {
  const { conditions } = filter;
  const found: Test[] = [];
  const add = (value: string | undefined, test: (value: string) => Test): void => {
    if (value !== undefined) found.push(test(value));
  };
  const time = (value: string): number => Date.parse(value);
  add(conditions.user, (user) => (row) => row.session.user === user);
  add(conditions.source_ip, (ip) => (row) => row.session.source_ip === ip);
  add(conditions.protocol, (protocol) => (row) => row.session.protocol === protocol);
  add(conditions.status, (status) => (row) => row.session.status === status);
  add(conditions.close_reason, (reason) => (row) => row.session.close_reason === reason);
  add(conditions.dest, (dest) => {
    const lower = dest.toLowerCase();
    return ({ session }) => session.dest_host?.toLowerCase() === lower || session.dest_ip === dest;
  });
  add(conditions.dest_ip, (ip) => (row) => row.session.dest_ip === ip);
  add(conditions.egress_ip, (ip) => (row) => row.session.egress_ip === ip);
  add(conditions.egress_port, (port) => (row) => row.session.egress_port === Number(port));
  add(conditions.node, (node) => (row) => row.session.node_id === node);
  add(conditions.start_after, (from) => (row) => row.startMs >= time(from));
  add(conditions.start_before, (to) => (row) => row.startMs < time(to));
  add(conditions.hours, (hours) => (row) => row.startMs >= now - Number(hours) * 3_600_000);
  add(conditions.at, (at) => ({ session, startMs }) => {
    const end = session.end_time == null ? Number.POSITIVE_INFINITY : time(session.end_time);
    return startMs <= time(at) && end >= time(at);
  });
  add(conditions.min_bytes, (least) => {
    const bytes = Number(least);
    return ({ session }) => session.bytes_sent + session.bytes_received >= bytes;
  });
  add(conditions.min_duration_secs, (least) => {
    const ms = Number(least) * 1000;
    return (row) => lasted(row.session, row.startMs, now) >= ms;
  });
  for (const word of wordsOf(filter.text)) found.push((row) => row.text.includes(word));
  return found;
}

/** Whether a row passes. */
export function passes(row: Row, all: readonly Test[]): boolean {
  for (const test of all) if (!test(row)) return false;
  return true;
}
