// The columns that a list of sessions can have.
import { destination } from "../../api/session";
import { byteRate, bytes, count, duration, endpoint, moment, utc, visible } from "../../format";
import { heldAt, live, type Row } from "../../live";
import { lasted } from "../../parts/lasted";
import { tick } from "../../parts/load";
import { State } from "../../parts/Text";
import { rate, type SortKey } from "./order";

export const COLUMNS = [
  "user",
  "dest",
  "source",
  "status",
  "start_time",
  "end_time",
  "duration",
  "bytes_sent",
  "bytes_received",
  "bytes",
  "rate",
  "packets",
  "protocol",
  "command",
  "rule",
  "connect",
  "egress",
  "address",
  "detail",
  "node",
  "id",
] as const;
export type Column = (typeof COLUMNS)[number];

export type Mode = "running" | "ended";

const DEFAULTS: Record<Mode, readonly Column[]> = {
  running: [
    "user",
    "dest",
    "source",
    "start_time",
    "duration",
    "bytes_sent",
    "bytes_received",
    "rate",
    "status",
  ],
  ended: [
    "user",
    "dest",
    "source",
    "start_time",
    "duration",
    "bytes_sent",
    "bytes_received",
    "status",
    "rule",
  ],
};

export function defaultColumns(mode: Mode): readonly Column[] {
  return DEFAULTS[mode];
}

/** Reads `user,dest,…`; without any known name these are the default columns. */
export function readColumns(text: string | null, mode: Mode): readonly Column[] {
  const wanted = new Set(text?.split(",") ?? []);
  const found = [...wanted].flatMap((name) => COLUMNS.find((column) => column === name) ?? []);
  return found.length === 0 ? DEFAULTS[mode] : found;
}

export interface ColumnShape {
  label: string;
  /** A track of the grid. */
  width: string;
  /** The least width, pixels. */
  least: number;
  /** Figures stand on the right; what can be longer than its column is cut. */
  fit: "right" | "right cut" | "cut" | "code cut" | "whole";
  sort?: SortKey;
}

export function shapeOf(column: Column): ColumnShape {
  switch (column) {
    case "user":
      return { label: "User", width: "minmax(90px, 1.2fr)", least: 90, fit: "cut", sort: "user" };
    case "dest":
      return { label: "Destination", width: "minmax(168px, 2.6fr)", least: 168, fit: "cut", sort: "dest" };
    case "source":
      return { label: "Source", width: "minmax(124px, 1.1fr)", least: 124, fit: "cut", sort: "source" };
    case "status":
      return { label: "State", width: "minmax(150px, 1.3fr)", least: 150, fit: "whole", sort: "status" };
    case "start_time":
      return { label: "Started", width: "minmax(72px, 0.9fr)", least: 72, fit: "cut", sort: "start_time" };
    case "end_time":
      return { label: "Ended", width: "minmax(72px, 0.9fr)", least: 72, fit: "cut", sort: "end_time" };
    case "duration":
      return { label: "Duration", width: "72px", least: 72, fit: "right", sort: "duration" };
    case "bytes_sent":
      return { label: "Sent", width: "74px", least: 74, fit: "right", sort: "bytes_sent" };
    case "bytes_received":
      return { label: "Received", width: "78px", least: 78, fit: "right", sort: "bytes_received" };
    case "bytes":
      return { label: "Bytes", width: "74px", least: 74, fit: "right", sort: "bytes" };
    case "rate":
      return { label: "Rate", width: "86px", least: 86, fit: "right", sort: "rate" };
    case "packets":
      return { label: "Packets", width: "112px", least: 112, fit: "right cut" };
    case "protocol":
      return { label: "Protocol", width: "76px", least: 76, fit: "whole" };
    case "command":
      return { label: "Command", width: "112px", least: 112, fit: "cut" };
    case "rule":
      return { label: "Rule", width: "minmax(100px, 1fr)", least: 100, fit: "cut", sort: "rule" };
    case "connect":
      return { label: "Connect", width: "84px", least: 84, fit: "right" };
    case "egress":
      return { label: "Egress", width: "minmax(140px, 1fr)", least: 140, fit: "cut" };
    case "address":
      return { label: "Address", width: "minmax(140px, 1fr)", least: 140, fit: "cut" };
    case "detail":
      return { label: "Detail", width: "minmax(140px, 1.5fr)", least: 140, fit: "cut" };
    case "node":
      return { label: "Node", width: "minmax(90px, 0.8fr)", least: 90, fit: "cut" };
    case "id":
      return { label: "Session", width: "300px", least: 300, fit: "code cut" };
    default:
      return column satisfies never;
  }
}

/** The server's time: now, or that of the pause. What asks for it is drawn again with each second. */
function seconds(): number {
  return heldAt.value ?? tick.value + live.clockOffset;
}

/** The rate of a row, with what it is made of on hover. */
export function rateOf(row: Row): Value {
  if (rate(row, seconds()) === 0) return { text: "–", quiet: true };
  return {
    text: byteRate(row.rateSent + row.rateReceived),
    title: `sent ${byteRate(row.rateSent)}, received ${byteRate(row.rateReceived)}`,
  };
}

/** A value in words. */
interface Value {
  text: string;
  /** What it says on hover. */
  title?: string;
  quiet?: boolean;
}

function name(text: string, empty = "–"): Value {
  if (text === "") return { text: empty, quiet: true };
  const shown = visible(text);
  return { text: shown, title: shown };
}

function time(at: string): Value {
  const ms = Date.parse(at);
  return Number.isNaN(ms) ? { text: at } : { text: moment(ms, tick.value), title: utc(ms) };
}

function size(count: number): Value {
  return { text: bytes(count), title: `${count} bytes` };
}

function inWords(column: Exclude<Column, "status">, row: Row): Value {
  const { session } = row;
  switch (column) {
    case "user":
      return name(session.user, "(unknown)");
    case "dest":
      return name(endpoint(destination(session), session.dest_port));
    case "source":
      return name(endpoint(session.source_ip, session.source_port));
    case "start_time":
      return time(session.start_time);
    case "end_time":
      return session.end_time == null ? name("") : time(session.end_time);
    case "duration":
      return { text: duration(lasted(session, row.startMs, session.duration_ms == null ? seconds() : 0)) };
    case "bytes_sent":
      return size(session.bytes_sent);
    case "bytes_received":
      return size(session.bytes_received);
    case "bytes":
      return size(session.bytes_sent + session.bytes_received);
    case "rate":
      return rateOf(row);
    case "packets":
      return { text: `${count(session.packets_sent)} / ${count(session.packets_received)}` };
    case "protocol":
      return { text: session.protocol };
    case "command":
      return { text: session.command ?? "" };
    case "rule":
      return name(session.acl_rule_matched ?? "");
    case "connect":
      return { text: session.connect_ms == null ? "" : duration(session.connect_ms) };
    case "egress":
      return name(session.egress_ip == null ? "" : endpoint(session.egress_ip, session.egress_port ?? 0), "");
    case "address":
      return name(endpoint(session.dest_ip, session.dest_port));
    case "detail":
      return name(session.close_detail ?? "", "");
    case "node":
      return name(session.node_id, "(none)");
    case "id":
      return { text: session.session_id };
    default:
      return column satisfies never;
  }
}

/** A value of a session: one element, for hundreds of them are in view. */
export function Cell({ column, row, fit }: { column: Column; row: Row; fit: ColumnShape["fit"] }) {
  if (column === "status") {
    return (
      <div role="cell" class={fit}>
        <State session={row.session} />
      </div>
    );
  }
  const { text, title, quiet } = inWords(column, row);
  return (
    <div role="cell" class={quiet ? `${fit} quiet` : fit} title={title}>
      {text}
    </div>
  );
}
