// The page's one event stream: open while there is a login and somebody to see it.
import { effect, signal } from "@preact/signals";
import { askLogin } from "./api/auth";
import { login } from "./api/login";
import { LiveStream, live } from "./live";
import { freshen } from "./parts/load";

export const stream = new LiveStream(live, () => void askLogin());

/** A page that is hidden for so long, milliseconds, leaves its connection to others: browsers have six per server. */
const HIDDEN_MS = 10_000;

/** Ties the stream to the login and to the page's being seen, and what is on show to the stream. */
export function beginStream(): void {
  const seen = signal(!document.hidden);
  let hidden: ReturnType<typeof setTimeout> | undefined;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hidden);
    if (!document.hidden) seen.value = true;
    else
      hidden = setTimeout(() => {
        seen.value = false;
      }, HIDDEN_MS);
  });
  effect(() => {
    if (login.value.kind === "in" && seen.value) stream.start();
    else stream.stop();
  });
  let lost = false;
  effect(() => {
    const { kind } = live.connection.value;
    if (kind === "lost") lost = true;
    if (kind === "open" && lost) {
      lost = false;
      freshen();
      void askLogin();
    }
  });
  effect(() => {
    const now = login.value;
    if (now.kind !== "in" || now.visitor.expiresAt === null) return;
    const left = now.visitor.expiresAt - Date.now();
    // Beyond 24 days a timer would fire at once.
    const timer = setTimeout(() => void askLogin(), Math.min(Math.max(left, 0) + 1_000, 2_000_000_000));
    return () => clearTimeout(timer);
  });
}
