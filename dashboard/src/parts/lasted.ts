// How long sessions last.
import type { Session } from "../api/session";

/** Milliseconds that a session lasted, or has lasted until `now`, the server's time. */
export function lasted(session: Session, startMs: number, now: number): number {
  return session.duration_ms ?? Math.max(0, now - startMs);
}
