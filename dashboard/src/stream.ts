// The page's one event stream: open while there is a login.
import { effect } from "@preact/signals";
import { askLogin } from "./api/auth";
import { login } from "./api/login";
import { LiveStream, live } from "./live";
import { freshen } from "./parts/load";

export const stream = new LiveStream(live, () => void askLogin());

/** Ties the stream to the login, and what is on show to the stream. */
export function beginStream(): void {
  effect(() => {
    const now = login.value;
    if (now.kind === "in") stream.start();
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
