// Values as elements: names from outside, times, bytes, states.

import { readStatus, reasonText, type Session, statusText } from "../api/session";
import { bytes, duration, moment, utc, visible } from "../format";
import { heldAt, live } from "../live";
import { lasted } from "./lasted";
import { tick } from "./load";

/** A name from outside: isolated, with what would disguise it written out, cut by the place it is in. */
export function Name({ text, empty = "(none)" }: { text: string; empty?: string }) {
  if (text === "") return <span class="quiet">{empty}</span>;
  const shown = visible(text);
  return (
    <bdi class="name" title={shown}>
      {shown}
    </bdi>
  );
}

/** A time of the server, local, with UTC on hover. */
export function Time({ at }: { at: string | number }) {
  const ms = typeof at === "number" ? at : Date.parse(at);
  if (Number.isNaN(ms)) return <span>{String(at)}</span>;
  return (
    <time dateTime={new Date(ms).toISOString()} title={utc(ms)}>
      {moment(ms, tick.value)}
    </time>
  );
}

export function Bytes({ count }: { count: number }) {
  return <span title={`${count} bytes`}>{bytes(count)}</span>;
}

/** How long a session lasted, or has lasted until now. */
export function Lasted({ session }: { session: Session }) {
  const now = session.duration_ms == null ? (heldAt.value ?? tick.value + live.clockOffset) : 0;
  return <span>{duration(lasted(session, Date.parse(session.start_time), now))}</span>;
}

/** The state of a session: a mark, and words beside it, so that colour alone says nothing. */
export function State({ session }: { session: Session }) {
  const status = readStatus(session.status);
  const reason = session.close_reason ?? null;
  const words = status === "active" || reason === null ? statusText(session.status) : reasonText(reason);
  return (
    <span
      class={`state ${status ?? "unknown"}`}
      title={`${statusText(session.status)}${reason === null ? "" : `: ${reasonText(reason)}`}`}
    >
      <span class="dot" aria-hidden="true" />
      {status === "failed" || status === "rejected_by_acl" ? (
        <span class="quiet-text">{statusText(session.status)}: </span>
      ) : null}
      <span class="words">{words}</span>
    </span>
  );
}
