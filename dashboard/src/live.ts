// The one store of running sessions, fed by the one event stream.
//
// Events are gathered as text and applied a few times per second, to rows in one flat array; what looks
// at the store is told by two counters, never by a signal per row.
import { signal } from "@preact/signals";
import { destination, parseSession, type Session } from "./api/session";
import { readRunning, streamUrl } from "./api/sessions";
import { endpoint } from "./format";
import { WordIndex } from "./words";

/** A session with what is derived from it. Rows are changed in place while their session runs. */
export interface Row {
  session: Session;
  /** Milliseconds since 1970. */
  startMs: number;
  /** When the session's values were read, by the server's clock. */
  updatedMs: number;
  /** Bytes per second, as of `updatedMs`. */
  rateSent: number;
  rateReceived: number;
  /** What the text filter looks through, in lower case. */
  text: string;
  /** Place in the store's array; -1 once it is out. */
  place: number;
  /** Place in the index of words; -1 where it is in none. */
  slot: number;
  /** When its end was seen, by the browser's monotonic clock; 0 while it runs. */
  endedAt: number;
}

export type Connection =
  /** Not asked for yet, or a login is needed. */
  | { kind: "idle" }
  | { kind: "connecting" }
  | { kind: "open" }
  /** `since` is in milliseconds since 1970. */
  | { kind: "lost"; since: number };

/** Sums since the page was opened, for rates: differences of these, not their values, mean something. */
export interface Totals {
  opened: number;
  ended: number;
  sent: number;
  received: number;
}

/** How long an ended session stays in view, milliseconds. */
export const LINGER_MS = 8_000;
/** A rate is taken for over when nothing was heard of the session for so long. */
export const RATE_STALE_MS = 3_000;
/** Events are held back for so long, milliseconds, and then applied together. */
const APPLY_MS = 50;
/** As many are held back at most; beyond, they are applied at once. */
const MOST_PENDING = 4_000;
/** Redraws per second are bounded by this. */
const REDRAW_MS = 200;
/** Between two lists that follow one another, milliseconds. */
const LIST_AGAIN_MS = 2_000;
const BACKOFF_MS = [500, 1_000, 2_000, 5_000, 10_000];

export function makeRow(session: Session): Row {
  return {
    session,
    startMs: Date.parse(session.start_time),
    updatedMs: Date.parse(session.updated_at),
    rateSent: 0,
    rateReceived: 0,
    text: searchText(session),
    place: -1,
    slot: -1,
    endedAt: 0,
  };
}

function searchText(session: Session): string {
  const name = endpoint(destination(session), session.dest_port);
  return `${session.user}\n${name}\n${endpoint(session.dest_ip, session.dest_port)}\n${session.source_ip}:${session.source_port}\n${session.session_id}\n${session.acl_rule_matched ?? ""}\n${session.status}\n${session.close_reason ?? ""}\n${session.close_detail ?? ""}\n${session.protocol}\n${session.node_id}`.toLowerCase();
}

/** Texts that hardly ever change while a session runs. */
const STEADY = [
  "session_id",
  "user",
  "start_time",
  "source_ip",
  "dest_ip",
  "dest_host",
  "acl_rule_matched",
  "egress_ip",
  "node_id",
] as const satisfies readonly (keyof Session)[];

/**
 * Lets a session keep the texts of its former state where they are the same. The new ones go at once then;
 * otherwise thousands per second grow old, and collecting those holds the page up for a tenth of a second.
 */
function keepTexts(before: Session, session: Session): void {
  for (const name of STEADY) keep(before, session, name);
}

function keep<K extends keyof Session>(before: Session, session: Session, name: K): void {
  if (before[name] === session[name]) session[name] = before[name];
}

type EventName = "opened" | "updated" | "ended";
type Pending = { name: EventName; json: string };

/** The store. Tests make their own; the page has one, `live`. */
export class LiveStore {
  /** Every row, in no order. Ended ones stay for `LINGER_MS`. */
  readonly rows: Row[] = [];
  /** What the text filter looks through. */
  readonly words = new WordIndex();
  readonly connection = signal<Connection>({ kind: "idle" });
  /** Grows when rows were added, changed or removed; at most five times a second. */
  readonly version = signal(0);
  /** Whether the first list since the stream was opened is complete. */
  readonly complete = signal(false);
  readonly totals: Totals = { opened: 0, ended: 0, sent: 0, received: 0 };
  /** Sessions running, ended ones in view left out. */
  running = 0;
  /** How many whole lists were read. Before each but the first, events may have been missed. */
  lists = 0;
  /** The server's clock minus the browser's, milliseconds. */
  clockOffset = 0;

  readonly #byId = new Map<string, Row>();
  readonly #added = new Set<(row: Row) => void>();
  #pending: Pending[] = [];
  #applying: ReturnType<typeof setTimeout> | null = null;
  #clockKnown = false;
  #redrawAt = 0;
  #redraw: ReturnType<typeof setTimeout> | null = null;
  /** Ended rows in the order of their ends, to be dropped. */
  #leaving: Row[] = [];
  /** Sessions that were heard of while a list was being read: it may be older than what was heard. */
  #heardMeanwhile: Set<string> | null = null;

  /** Calls `take` for each row that is added from now on; the answer ends that. */
  onAdded(take: (row: Row) => void): () => void {
    this.#added.add(take);
    return () => this.#added.delete(take);
  }

  /** The row of a session that runs or just ended. */
  row(id: string): Row | undefined {
    return this.#byId.get(id);
  }

  /** The server's time, milliseconds since 1970. */
  now(): number {
    return Date.now() + this.clockOffset;
  }

  /** Takes an event; it is applied soon. */
  receive(name: EventName, json: string): void {
    this.#pending.push({ name, json });
    if (this.#pending.length >= MOST_PENDING) this.apply();
    else this.#applying ??= setTimeout(() => this.apply(), APPLY_MS);
  }

  /** Applies what was received. */
  apply(): void {
    if (this.#applying !== null) clearTimeout(this.#applying);
    this.#applying = null;
    const batch = this.#pending;
    this.#pending = [];
    let newest = "";
    for (const { name, json } of batch) {
      const session = parseSession(json);
      if (session === null) continue;
      this.put(name, session);
      if (session.updated_at > newest) newest = session.updated_at;
    }
    if (newest !== "") this.#setClock(Date.parse(newest) - Date.now());
    this.#changed();
  }

  /** Follows the server's clock: delays make it seem late, never early, so the largest difference is the best. */
  #setClock(offset: number): void {
    if (!this.#clockKnown || offset > this.clockOffset) this.clockOffset = offset;
    else this.clockOffset += (offset - this.clockOffset) * 0.01;
    this.#clockKnown = true;
  }

  /** Puts one state of a session into the store; older states than the known one change nothing. */
  put(name: EventName | "listed", session: Session): void {
    const known = this.#byId.get(session.session_id);
    const ended = name === "ended";
    if (name !== "listed") this.#heardMeanwhile?.add(session.session_id);
    if (known === undefined) {
      // It has ended and was in view long enough.
      if (name === "listed" && this.#heardMeanwhile?.has(session.session_id) === true) return;
      const row = makeRow(session);
      this.#add(row);
      // What was relayed before this page heard of the session is not counted as if it flowed now.
      if (name === "opened") {
        this.totals.opened += 1;
        this.#count(session.bytes_sent, session.bytes_received);
      }
      if (ended) this.#end(row);
      return;
    }
    if (known.endedAt !== 0) return;
    const at = Date.parse(session.updated_at);
    if (at >= known.updatedMs) this.#advance(known, session, at);
    if (ended) this.#end(known);
  }

  #advance(row: Row, session: Session, at: number): void {
    const before = row.session;
    const sent = Math.max(0, session.bytes_sent - before.bytes_sent);
    const received = Math.max(0, session.bytes_received - before.bytes_received);
    this.#count(sent, received);
    const span = at - row.updatedMs;
    // Two states almost at once, as an end after an update, say nothing about a rate.
    if (span >= 100) {
      row.rateSent = (sent * 1000) / span;
      row.rateReceived = (received * 1000) / span;
    }
    if (before.dest_ip !== session.dest_ip || before.status !== session.status) {
      row.text = searchText(session);
      this.words.change(row);
    }
    keepTexts(before, session);
    row.session = session;
    row.updatedMs = at;
  }

  #count(sent: number, received: number): void {
    this.totals.sent += sent;
    this.totals.received += received;
  }

  #add(row: Row): void {
    row.place = this.rows.length;
    this.rows.push(row);
    this.words.add(row);
    this.#byId.set(row.session.session_id, row);
    this.running += 1;
    for (const take of this.#added) take(row);
  }

  #end(row: Row): void {
    row.endedAt = performance.now();
    row.rateSent = 0;
    row.rateReceived = 0;
    this.running -= 1;
    this.totals.ended += 1;
    this.#leaving.push(row);
  }

  #remove(row: Row): void {
    if (row.place < 0) return;
    this.words.remove(row);
    const last = this.rows.pop();
    if (last !== undefined && last !== row) {
      this.rows[row.place] = last;
      last.place = row.place;
    }
    row.place = -1;
    if (row.endedAt === 0) this.running -= 1;
    this.#byId.delete(row.session.session_id);
  }

  /** Drops ended sessions that were in view long enough. */
  sweep(now = performance.now()): void {
    let gone = 0;
    for (const row of this.#leaving) {
      if (now - row.endedAt < LINGER_MS) break;
      this.#remove(row);
      gone += 1;
    }
    if (gone === 0) return;
    this.#leaving = this.#leaving.slice(gone);
    this.#changed();
  }

  /** Begins to read the whole list; until `endList`, sessions that are heard of are remembered. */
  beginList(): void {
    // What was heard before is not heard meanwhile.
    this.apply();
    this.#heardMeanwhile = new Set();
  }

  /** Takes a portion of the list, noting its sessions in `seen`. */
  putList(sessions: Session[], seen: Set<string>): void {
    for (const session of sessions) {
      seen.add(session.session_id);
      this.put("listed", session);
    }
    this.#changed();
  }

  /** The list is complete: what is not in it and was not heard of meanwhile has ended unheard. */
  endList(seen: Set<string>): void {
    this.apply();
    const heard = this.#heardMeanwhile;
    this.#heardMeanwhile = null;
    for (const row of [...this.rows]) {
      const id = row.session.session_id;
      if (row.endedAt === 0 && !seen.has(id) && heard?.has(id) !== true) this.#remove(row);
    }
    this.lists += 1;
    this.complete.value = true;
    this.#changed();
  }

  #changed(): void {
    const now = performance.now();
    if (this.#redraw !== null) return;
    const wait = Math.max(0, this.#redrawAt + REDRAW_MS - now);
    const redraw = (): void => {
      this.#redraw = null;
      this.#redrawAt = performance.now();
      this.version.value += 1;
    };
    if (wait === 0) redraw();
    else this.#redraw = setTimeout(redraw, wait);
  }

  /** Forgets everything. */
  clear(): void {
    for (const row of this.rows) row.place = -1;
    this.rows.length = 0;
    this.words.clear();
    this.#byId.clear();
    this.#leaving = [];
    this.#pending = [];
    this.running = 0;
    this.complete.value = false;
    this.#changed();
  }
}

/** The event stream: feeds a store, comes back after each loss, and reads the list where events were missed. */
export class LiveStream {
  readonly #store: LiveStore;
  readonly #refused: () => void;
  #source: EventSource | null = null;
  #retry: ReturnType<typeof setTimeout> | null = null;
  #tries = 0;
  /** The list that is being read, or will soon be read again. */
  #listing: AbortController | null = null;
  /** Whether events were missed since the list was asked for. */
  #missed = false;
  #sweeper: ReturnType<typeof setInterval> | null = null;

  /** `refused` is called when the server does not want to stream: perhaps a login is needed. */
  constructor(store: LiveStore, refused: () => void) {
    this.#store = store;
    this.#refused = refused;
  }

  start(): void {
    if (this.#source !== null || this.#retry !== null) return;
    this.#sweeper ??= setInterval(() => this.#store.sweep(), 500);
    if (this.#store.connection.peek().kind === "idle") this.#store.connection.value = { kind: "connecting" };
    this.#open();
  }

  stop(): void {
    this.#source?.close();
    this.#source = null;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    if (this.#sweeper !== null) clearInterval(this.#sweeper);
    this.#sweeper = null;
    this.#listing?.abort();
    this.#listing = null;
    this.#store.connection.value = { kind: "idle" };
  }

  /** Tries at once instead of after the pause. */
  retry(): void {
    if (this.#retry === null) return;
    clearTimeout(this.#retry);
    this.#retry = null;
    this.#open();
  }

  #open(): void {
    const source = new EventSource(streamUrl);
    this.#source = source;
    // A browser that reconnects by itself names the last event it saw, and the server answers with
    // what came after it, or with `gap`. A new source knows nothing.
    let fresh = true;
    source.addEventListener("open", () => {
      this.#tries = 0;
      this.#store.connection.value = { kind: "open" };
      if (fresh) {
        // Until then the sums would take what was missed for what happens now.
        this.#store.complete.value = false;
        this.#list();
      }
      fresh = false;
    });
    for (const name of ["opened", "updated", "ended"] as const) {
      source.addEventListener(name, (event) => this.#store.receive(name, event.data));
    }
    source.addEventListener("gap", () => {
      // A list that is broken off whenever something is missed might never come to its end.
      if (this.#listing === null) this.#list();
      else this.#missed = true;
    });
    source.addEventListener("error", () => {
      this.#lost();
      if (source.readyState === EventSource.CLOSED) this.#later();
    });
  }

  #lost(): void {
    if (this.#store.connection.peek().kind === "lost") return;
    this.#store.connection.value = { kind: "lost", since: Date.now() };
  }

  #later(): void {
    this.#source?.close();
    this.#source = null;
    this.#refused();
    const pause = BACKOFF_MS[Math.min(this.#tries, BACKOFF_MS.length - 1)] ?? 10_000;
    this.#tries += 1;
    this.#retry = setTimeout(() => {
      this.#retry = null;
      this.#open();
    }, pause);
  }

  #list(): void {
    this.#listing?.abort();
    const listing = new AbortController();
    this.#listing = listing;
    this.#missed = false;
    const seen = new Set<string>();
    this.#store.beginList();
    readRunning((sessions) => {
      if (!listing.signal.aborted) this.#store.putList(sessions, seen);
    }, listing.signal).then(
      (failure) => {
        if (listing.signal.aborted) return;
        if (failure === null) this.#store.endList(seen);
        if (failure === null && !this.#missed) this.#listing = null;
        else setTimeout(() => !listing.signal.aborted && this.#list(), LIST_AGAIN_MS);
      },
      () => undefined,
    );
  }
}

export const live = new LiveStore();

/** The server's time at which a view is held, milliseconds; null while it is live. */
export const heldAt = signal<number | null>(null);
