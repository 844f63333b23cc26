// The last hour of the server as points: first what the server remembers, then what the stream tells.
import { effect, signal } from "@preact/signals";
import { metricsHistory } from "./api/server";
import { live } from "./live";

export interface Pulse {
  /** Seconds since 1970, ascending; the other lists are of the same length. */
  times: number[];
  active: number[];
  opened: number[];
  sent: number[];
  received: number[];
}

/** How long a time is shown, seconds. */
const SPAN = 3_600;
/** Seconds between two points, where the server does not say. */
const STEP = 5;

const empty = (): Pulse => ({ times: [], active: [], opened: [], sent: [], received: [] });

export const pulse = signal<Pulse>(empty());
/** Rates over the last step, for the figures: per second. */
export const nowRates = signal({ opened: 0, sent: 0, received: 0 });

let last: { at: number; opened: number; sent: number; received: number } | null = null;
let stop: AbortController | null = null;

/** Adds a point, dropping those that are out of view. */
export function extend(
  before: Pulse,
  at: number,
  active: number,
  opened: number,
  sent: number,
  received: number,
): Pulse {
  const from = before.times.findIndex((time) => time > at - SPAN);
  const keep = <T>(list: readonly T[], value: T): T[] => [...(from < 0 ? [] : list.slice(from)), value];
  return {
    times: keep(before.times, at),
    active: keep(before.active, active),
    opened: keep(before.opened, opened),
    sent: keep(before.sent, sent),
    received: keep(before.received, received),
  };
}

function sample(): void {
  const { opened, sent, received } = live.totals;
  const at = performance.now();
  if (live.connection.peek().kind !== "open" || !live.complete.peek()) {
    last = null;
    return;
  }
  if (last !== null) {
    const seconds = (at - last.at) / 1000;
    const rates = {
      opened: (opened - last.opened) / seconds,
      sent: (sent - last.sent) / seconds,
      received: (received - last.received) / seconds,
    };
    nowRates.value = rates;
    pulse.value = extend(
      pulse.peek(),
      live.now() / 1000,
      live.running,
      rates.opened,
      rates.sent,
      rates.received,
    );
  }
  last = { at, opened, sent, received };
}

/** Reads what the server remembers. */
async function recall(): Promise<void> {
  stop?.abort();
  const asking = new AbortController();
  stop = asking;
  const answer = await metricsHistory(60, asking.signal).catch(() => null);
  if (answer?.kind !== "ok" || asking.signal.aborted) return;
  const found = empty();
  for (const point of answer.data.data) {
    found.times.push(Date.parse(point.timestamp) / 1000);
    found.active.push(point.active_sessions);
    found.opened.push(point.sessions_per_sec);
    found.sent.push(point.bytes_sent_per_sec);
    found.received.push(point.bytes_received_per_sec);
  }
  const newest = found.times.at(-1) ?? 0;
  const seen = pulse.peek();
  let joined = found;
  seen.times.forEach((time, index) => {
    if (time <= newest) return;
    joined = extend(
      joined,
      time,
      seen.active[index] ?? 0,
      seen.opened[index] ?? 0,
      seen.sent[index] ?? 0,
      seen.received[index] ?? 0,
    );
  });
  pulse.value = joined;
  const latest = answer.data.data.at(-1);
  if (last === null && latest !== undefined) {
    nowRates.value = {
      opened: latest.sessions_per_sec,
      sent: latest.bytes_sent_per_sec,
      received: latest.bytes_received_per_sec,
    };
  }
}

/** Begins to take the pulse. */
export function takePulse(): void {
  setInterval(sample, STEP * 1000);
  let lost = false;
  // At the beginning together with the stream, and again after each loss.
  effect(() => {
    const { kind } = live.connection.value;
    if (kind === "connecting" || (kind === "open" && lost)) void recall();
    lost = kind === "lost";
  });
}
