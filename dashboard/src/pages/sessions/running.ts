// The running sessions in view: chosen anew when the store changed, at once when the filter did.
import { effect } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { live, type Row } from "../../live";
import { WordIndex } from "../../words";
import type { Filter } from "./filter";
import type { Sort } from "./order";
import { freeze, RowView } from "./view";

/** At least so long between two arrangements, milliseconds, and a multiple of what the last one took. */
const ARRANGE_MS = 400;
const ARRANGE_SHARE = 12;
/** A visitor who neither scrolled nor typed for so long rests, milliseconds: longer than it takes to find the next key. */
const REST_MS = 350;

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
  const view = new RowView(rows, false, new WordIndex(rows));
  return { view, rows, now: live.now(), running: live.running, opened, ended };
}

/** When the visitor last scrolled or typed, by the browser's monotonic clock. */
let busyAt = Number.NEGATIVE_INFINITY;

/** The visitor scrolls or types: rows stay where they are until that rests. */
export function busy(): void {
  busyAt = performance.now();
}

/** The rows that pass, in order; `frozen` takes the place of the store while the view is paused. */
export function useRunning(filter: Filter, sort: Sort, frozen: Frozen | null): Row[] {
  const view = useMemo(() => new RowView(live.rows, true, live.words), []);
  useLayoutEffect(() => live.onAdded((row) => view.add(row)), [view]);
  const arranged = useRef({ at: Number.NEGATIVE_INFINITY, took: 0 });
  const [stamp, setStamp] = useState(0);
  const shown = frozen?.view ?? view;
  const now = frozen?.now ?? live.now();

  if (!shown.isArranged(sort)) shown.arrange(sort, now);
  // The stamp stands for the arrangement.
  const rows = useMemo(() => shown.choose(filter, now), [shown, filter, sort.key, sort.down, stamp]);

  const isEmpty = rows.length === 0;
  useEffect(() => {
    if (frozen !== null) return;
    let timer: ReturnType<typeof setTimeout> | null = null;
    const arrange = (): void => {
      const began = performance.now();
      const rest = busyAt + REST_MS - began;
      if (rest > 0) {
        timer = setTimeout(arrange, rest);
        return;
      }
      timer = null;
      view.arrange(sort, live.now());
      arranged.current = { at: performance.now(), took: performance.now() - began };
      setStamp((before) => before + 1);
    };
    const stop = effect(() => {
      live.version.value;
      const { at, took } = arranged.current;
      const pause = isEmpty ? 0 : Math.max(ARRANGE_MS, took * ARRANGE_SHARE);
      timer ??= setTimeout(arrange, Math.max(0, at + pause - performance.now()));
    });
    return () => {
      stop();
      if (timer !== null) clearTimeout(timer);
    };
  }, [view, sort.key, sort.down, frozen, isEmpty]);

  return rows;
}
