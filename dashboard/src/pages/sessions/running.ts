// The running sessions in view: chosen anew when the store changed, at once when the filter did.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { live, type Row } from "../../live";
import type { Filter } from "./filter";
import type { Sort } from "./order";
import { freeze, RowView } from "./view";

/** At least so long between two arrangements, milliseconds, and a multiple of what the last one took. */
const ARRANGE_MS = 400;
const ARRANGE_SHARE = 12;

export interface Frozen {
  view: RowView;
  rows: Row[];
  /** The server's time when the view was paused. */
  now: number;
  /** What the store had counted then. */
  running: number;
  opened: number;
  ended: number;
}

/** The store's state now, for a view that is paused. */
export function pause(): Frozen {
  const rows = freeze(live.rows);
  const { opened, ended } = live.totals;
  return { view: new RowView(rows, false), rows, now: live.now(), running: live.running, opened, ended };
}

/** The rows that pass, in order; `frozen` takes the place of the store while the view is paused. */
export function useRunning(filter: Filter, sort: Sort, frozen: Frozen | null): Row[] {
  const view = useMemo(() => new RowView(live.rows, true), []);
  useEffect(() => live.onAdded((row) => view.add(row)), [view]);
  const arranged = useRef({ at: 0, took: 0, version: -1 });
  const [, wake] = useState(0);
  const version = live.version.value;
  const last = arranged.current;

  const pauseMs = Math.max(ARRANGE_MS, last.took * ARRANGE_SHARE);
  const due = performance.now() - last.at >= pauseMs;
  const shown = frozen?.view ?? view;
  const now = frozen?.now ?? live.now();
  if (!shown.isArranged(sort) || (frozen === null && version !== last.version && due)) {
    const began = performance.now();
    shown.arrange(sort, now);
    arranged.current = { at: performance.now(), took: performance.now() - began, version };
  }
  const stale = frozen === null && version !== arranged.current.version;
  useEffect(() => {
    if (!stale) return;
    const timer = setTimeout(() => wake((turns) => turns + 1), pauseMs);
    return () => clearTimeout(timer);
  }, [stale, pauseMs]);

  const stamp = arranged.current.at;
  // The stamp stands for the arrangement.
  return useMemo(() => shown.choose(filter, now), [shown, filter, stamp]);
}
