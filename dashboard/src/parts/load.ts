// Loading something from the server for a view, and loading it again.
import { signal } from "@preact/signals";
import { useCallback, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Failure, Outcome } from "../api/outcome";

export type Load<T> =
  | { kind: "loading" }
  /** `trouble` tells that a later try failed: the data are old. `at` is in milliseconds since 1970. */
  | { kind: "ready"; data: T; at: number; trouble: Failure | null }
  | { kind: "failed"; failure: Failure };

export interface Loaded<T> {
  load: Load<T>;
  again: () => void;
}

const FRESHEN_MS = 15_000;

/** Beats while the page is in view; whatever wants to stay fresh loads again with each beat. */
export const beat = signal(0);
setInterval(() => {
  if (!document.hidden) beat.value += 1;
}, FRESHEN_MS);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) beat.value += 1;
});

/** Loads again at once whatever stays fresh: after a reconnection, or when something was changed. */
export function freshen(): void {
  beat.value += 1;
}

/** The time, in steps of a second, for what shows ages and lengths of time. */
export const tick = signal(Date.now());
setInterval(() => {
  if (!document.hidden) tick.value = Date.now();
}, 1_000);

/**
 * Loads when `key` changes; with `"often"` also with each beat, keeping the data meanwhile. `ask`
 * belongs to the key: another function for the same key is not asked.
 */
export function useLoad<T>(
  key: string,
  ask: (signal: AbortSignal) => Promise<Outcome<T>>,
  how: "once" | "often",
): Loaded<T> {
  const [state, setState] = useState<{ key: string; load: Load<T> }>({ key, load: { kind: "loading" } });
  const asking = useRef(ask);
  asking.current = ask;
  const [turn, setTurn] = useState(0);
  const beats = how === "often" ? beat.value : 0;

  const underWay = useRef<AbortController | null>(null);
  const answered = useRef(beats);

  const start = (): void => {
    const stop = new AbortController();
    underWay.current = stop;
    const asked = beats;
    asking.current(stop.signal).then(
      (answer) => {
        if (stop.signal.aborted) return;
        underWay.current = null;
        answered.current = asked;
        setState((before) => ({ key, load: next(before.key === key ? before.load : null, answer) }));
      },
      () => {
        if (!stop.signal.aborted) underWay.current = null;
      },
    );
  };
  // Another key and a turn ask at once. What is asked is under way while the place for it is painted.
  useLayoutEffect(() => {
    start();
    return () => {
      underWay.current?.abort();
      underWay.current = null;
    };
  }, [key, turn]);
  // A beat waits for an answer that is on its way, which may take longer than the next beat, and asks then.
  useLayoutEffect(() => {
    if (underWay.current === null && answered.current !== beats) start();
  }, [beats, state]);

  const again = useCallback(() => setTurn((turns) => turns + 1), []);
  return { load: state.key === key ? state.load : { kind: "loading" }, again };
}

function next<T>(before: Load<T> | null, answer: Outcome<T>): Load<T> {
  if (answer.kind === "ok") return { kind: "ready", data: answer.data, at: Date.now(), trouble: null };
  if (before?.kind === "ready") return { ...before, trouble: answer };
  return { kind: "failed", failure: answer };
}
