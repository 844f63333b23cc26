// Ended sessions, page by page from the server, kept as one list.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import type { Failure } from "../../api/outcome";
import { history, type Query } from "../../api/sessions";
import { makeRow, type Row } from "../../live";

/** Sessions per request. */
const PAGE_SIZE = 500;
/** Where all are looked through here (a text, groups), so many are fetched unasked. */
export const LOOKED_THROUGH = 10_000;

export interface Ended {
  rows: readonly Row[];
  /** How many the filter finds on the server; null until it has answered. */
  total: number | null;
  loading: boolean;
  failure: Failure | null;
  /** Whether there are more to fetch. */
  more: boolean;
  fetchMore: () => void;
  again: () => void;
}

interface Kept {
  key: string;
  rows: Row[];
  total: number | null;
  /** The next request: a cursor where there is one, or else a page; null at the end. */
  next: { cursor: string } | { page: number } | null;
  failure: Failure | null;
}

const START = { page: 1 } as const;

function empty(key: string): Kept {
  return { key, rows: [], total: null, next: START, failure: null };
}

/**
 * The ended sessions that a query finds. `through` fetches on until `LOOKED_THROUGH`. A null query asks
 * for nothing.
 */
export function useEnded(query: Query | null, through: boolean): Ended {
  const [turn, setTurn] = useState(0);
  const key = `${turn} ${JSON.stringify(query)}`;
  const [state, setState] = useState<Kept>(() => empty(key));
  const [loading, setLoading] = useState(false);
  const busy = useRef<AbortController | null>(null);
  const kept = state.key === key ? state : empty(key);

  const fetchNext = useCallback(
    (from: Kept) => {
      if (query === null || from.next === null || busy.current !== null) return;
      const stop = new AbortController();
      busy.current = stop;
      setLoading(true);
      history({ ...query, ...from.next, page_size: PAGE_SIZE }, stop.signal).then(
        (answer) => {
          if (stop.signal.aborted) return;
          busy.current = null;
          setLoading(false);
          if (answer.kind !== "ok") {
            setState({ ...from, failure: answer });
            return;
          }
          const { data, total, next_cursor, page, total_pages } = answer.data;
          const next =
            next_cursor != null ? { cursor: next_cursor } : page < total_pages ? { page: page + 1 } : null;
          // What came in meanwhile moves sessions on to later pages.
          const there = new Set(from.rows.map((row) => row.session.session_id));
          const fresh = data.filter((session) => !there.has(session.session_id));
          setState({
            key: from.key,
            rows: [...from.rows, ...fresh.map(makeRow)],
            total,
            next: data.length === 0 ? null : next,
            failure: null,
          });
        },
        () => undefined,
      );
    },
    // The key is the query's text.
    [key],
  );

  // Only another query begins anew.
  useEffect(() => {
    busy.current?.abort();
    busy.current = null;
    setLoading(false);
    fetchNext(empty(key));
    return () => {
      busy.current?.abort();
      busy.current = null;
    };
  }, [key]);

  useEffect(() => {
    const some = kept.rows.length > 0 && kept.rows.length < LOOKED_THROUGH;
    if (through && some && kept.failure === null) fetchNext(kept);
  }, [through, kept, fetchNext]);

  return {
    rows: kept.rows,
    total: kept.total,
    loading: query !== null && (loading || (kept.total === null && kept.failure === null)),
    failure: kept.failure,
    more: kept.next !== null,
    fetchMore: () => kept.failure === null && fetchNext(kept),
    again: () => setTurn((turns) => turns + 1),
  };
}
