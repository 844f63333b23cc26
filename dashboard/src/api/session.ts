// A session as the API tells it, and the closed vocabularies in it.
import type { components } from "./schema";

export type Session = components["schemas"]["SessionView"];

export type Status = Session["status"];
export type Reason = NonNullable<Session["close_reason"]>;

export const STATUSES = [
  "active",
  "closed",
  "failed",
  "rejected_by_acl",
] as const satisfies readonly Status[];

/** The status, where this dashboard knows it. */
export function readStatus(text: string): Status | null {
  return STATUSES.find((status) => status === text) ?? null;
}

export const REASONS = [
  "client_closed",
  "destination_closed",
  "client_reset",
  "destination_reset",
  "client_error",
  "destination_error",
  "idle_timeout",
  "half_closed_timeout",
  "handshake_timeout",
  "admin_terminated",
  "server_shutdown",
  "server_crash",
  "relay_error",
  "acl_revoked",
  "limit_exceeded",
  "dns_failed",
  "connect_refused",
  "connect_timeout",
  "connect_unreachable",
  "auth_failed",
  "protocol_error",
  "rejected_by_acl",
] as const satisfies readonly Reason[];

/** The reason, where this dashboard knows it. */
export function readReason(text: string): Reason | null {
  return REASONS.find((reason) => reason === text) ?? null;
}

export function statusLabel(status: Status): string {
  switch (status) {
    case "active":
      return "running";
    case "closed":
      return "closed";
    case "failed":
      return "failed";
    case "rejected_by_acl":
      return "rejected";
    default:
      return status satisfies never;
  }
}

/** Why a session ended, in words. */
export function reasonLabel(reason: Reason): string {
  switch (reason) {
    case "client_closed":
      return "client closed";
    case "destination_closed":
      return "destination closed";
    case "client_reset":
      return "client reset";
    case "destination_reset":
      return "destination reset";
    case "client_error":
      return "client's connection failed";
    case "destination_error":
      return "destination's connection failed";
    case "idle_timeout":
      return "idle too long";
    case "half_closed_timeout":
      return "half-closed too long";
    case "handshake_timeout":
      return "no request in time";
    case "admin_terminated":
      return "ended by an operator";
    case "server_shutdown":
      return "server stopped";
    case "server_crash":
      return "server died";
    case "relay_error":
      return "proxy out of resources";
    case "acl_revoked":
      return "rules changed";
    case "limit_exceeded":
      return "limit reached";
    case "dns_failed":
      return "name not resolved";
    case "connect_refused":
      return "connection refused";
    case "connect_timeout":
      return "no answer in time";
    case "connect_unreachable":
      return "unreachable";
    case "auth_failed":
      return "wrong credentials";
    case "protocol_error":
      return "not understood";
    case "rejected_by_acl":
      return "refused by a rule";
    default:
      return reason satisfies never;
  }
}

/** A reason's words; one that is not known stands as it is. */
export function reasonText(reason: string): string {
  const known = readReason(reason);
  return known === null ? reason : reasonLabel(known);
}

/** A status's words; one that is not known stands as it is. */
export function statusText(status: string): string {
  const known = readStatus(status);
  return known === null ? status : statusLabel(known);
}

/** The destination as the ledger names it: the requested name, or else the address. */
export function destination(session: Session): string {
  return session.dest_host ?? session.dest_ip;
}

/** Whether something that came over the stream is a session. */
export function isSession(value: unknown): value is Session {
  return (
    typeof value === "object" &&
    value !== null &&
    text(value, "session_id") &&
    text(value, "user") &&
    text(value, "start_time") &&
    text(value, "source_ip") &&
    number(value, "source_port") &&
    text(value, "dest_ip") &&
    number(value, "dest_port") &&
    text(value, "protocol") &&
    number(value, "bytes_sent") &&
    number(value, "bytes_received") &&
    number(value, "packets_sent") &&
    number(value, "packets_received") &&
    status(value) &&
    text(value, "node_id") &&
    text(value, "updated_at")
  );
}

function text(value: object, name: string): boolean {
  return typeof Reflect.get(value, name) === "string";
}

function status(value: object): boolean {
  const found: unknown = Reflect.get(value, "status");
  return STATUSES.some((known) => known === found);
}

function number(value: object, name: string): boolean {
  return typeof Reflect.get(value, name) === "number";
}

/** Reads a session from JSON text; null where it is none. */
export function parseSession(json: string): Session | null {
  try {
    const value: unknown = JSON.parse(json);
    return isSession(value) ? value : null;
  } catch {
    return null;
  }
}
