// The columns that a list of sessions can have.
import type { ComponentChildren } from "preact";
import { destination } from "../../api/session";
import { byteRate, count, duration, endpoint } from "../../format";
import { heldAt, live, type Row } from "../../live";
import { tick } from "../../parts/load";
import { Bytes, Lasted, Name, State, Time } from "../../parts/Text";
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
  right?: boolean;
  sort?: SortKey;
}

export function shapeOf(column: Column): ColumnShape {
  switch (column) {
    case "user":
      return { label: "User", width: "minmax(90px, 1.2fr)", least: 90, sort: "user" };
    case "dest":
      return { label: "Destination", width: "minmax(168px, 2.4fr)", least: 168, sort: "dest" };
    case "source":
      return { label: "Source", width: "minmax(124px, 1.1fr)", least: 124, sort: "source" };
    case "status":
      return { label: "State", width: "minmax(146px, 1.3fr)", least: 146, sort: "status" };
    case "start_time":
      return { label: "Started", width: "minmax(72px, 0.9fr)", least: 72, sort: "start_time" };
    case "end_time":
      return { label: "Ended", width: "minmax(72px, 0.9fr)", least: 72, sort: "end_time" };
    case "duration":
      return { label: "Duration", width: "72px", least: 72, right: true, sort: "duration" };
    case "bytes_sent":
      return { label: "Sent", width: "74px", least: 74, right: true, sort: "bytes_sent" };
    case "bytes_received":
      return { label: "Received", width: "78px", least: 78, right: true, sort: "bytes_received" };
    case "bytes":
      return { label: "Bytes", width: "74px", least: 74, right: true, sort: "bytes" };
    case "rate":
      return { label: "Rate", width: "86px", least: 86, right: true, sort: "rate" };
    case "packets":
      return { label: "Packets", width: "112px", least: 112, right: true };
    case "protocol":
      return { label: "Protocol", width: "76px", least: 76 };
    case "command":
      return { label: "Command", width: "112px", least: 112 };
    case "rule":
      return { label: "Rule", width: "minmax(100px, 1fr)", least: 100, sort: "rule" };
    case "connect":
      return { label: "Connect", width: "84px", least: 84, right: true };
    case "egress":
      return { label: "Egress", width: "minmax(140px, 1fr)", least: 140 };
    case "address":
      return { label: "Address", width: "minmax(140px, 1fr)", least: 140 };
    case "detail":
      return { label: "Detail", width: "minmax(140px, 1.5fr)", least: 140 };
    case "node":
      return { label: "Node", width: "minmax(90px, 0.8fr)", least: 90 };
    case "id":
      return { label: "Session", width: "300px", least: 300 };
    default:
      return column satisfies never;
  }
}

/** The rate of a row, with what it is made of on hover. */
export function Rate({ row }: { row: Row }) {
  const now = heldAt.value ?? tick.value + live.clockOffset;
  if (rate(row, now) === 0) return <span class="quiet">–</span>;
  const parts = `sent ${byteRate(row.rateSent)}, received ${byteRate(row.rateReceived)}`;
  return <span title={parts}>{byteRate(row.rateSent + row.rateReceived)}</span>;
}

export function cell(column: Column, row: Row): ComponentChildren {
  const { session } = row;
  switch (column) {
    case "user":
      return <Name text={session.user} empty="(unknown)" />;
    case "dest":
      return <Name text={endpoint(destination(session), session.dest_port)} />;
    case "source":
      return <Name text={endpoint(session.source_ip, session.source_port)} />;
    case "status":
      return <State session={session} />;
    case "start_time":
      return <Time at={session.start_time} />;
    case "end_time":
      return session.end_time == null ? <span class="quiet">–</span> : <Time at={session.end_time} />;
    case "duration":
      return <Lasted session={session} />;
    case "bytes_sent":
      return <Bytes count={session.bytes_sent} />;
    case "bytes_received":
      return <Bytes count={session.bytes_received} />;
    case "bytes":
      return <Bytes count={session.bytes_sent + session.bytes_received} />;
    case "rate":
      return <Rate row={row} />;
    case "packets":
      return `${count(session.packets_sent)} / ${count(session.packets_received)}`;
    case "protocol":
      return session.protocol;
    case "command":
      return session.command ?? "";
    case "rule":
      return <Name text={session.acl_rule_matched ?? ""} empty="–" />;
    case "connect":
      return session.connect_ms == null ? "" : duration(session.connect_ms);
    case "egress":
      return session.egress_ip == null ? (
        ""
      ) : (
        <Name text={endpoint(session.egress_ip, session.egress_port ?? 0)} />
      );
    case "address":
      return <Name text={endpoint(session.dest_ip, session.dest_port)} />;
    case "detail":
      return <Name text={session.close_detail ?? ""} empty="" />;
    case "node":
      return <Name text={session.node_id} />;
    case "id":
      return <code>{session.session_id}</code>;
    default:
      return column satisfies never;
  }
}
