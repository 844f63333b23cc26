import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { example } from "./example";
import { LINGER_MS, LiveStore, LiveStream } from "./live";

const at = (second: number): string => `2026-01-02T03:04:${String(second).padStart(2, "0")}.000+00:00`;
const ids = (store: LiveStore): string[] => store.rows.map((row) => row.session.session_id).sort();

let store: LiveStore;
beforeEach(() => {
  store = new LiveStore();
});

describe("the live store", () => {
  test("has a row while its session runs, and a while after its end", () => {
    store.put("opened", example());
    expect(store.running).toBe(1);
    store.put("ended", example({ status: "closed", end_time: at(9), updated_at: at(9) }));
    expect(store.running).toBe(0);
    expect(store.rows).toHaveLength(1);
    const ended = store.rows[0]?.endedAt ?? 0;
    store.sweep(ended + LINGER_MS - 1);
    expect(store.rows).toHaveLength(1);
    store.sweep(ended + LINGER_MS + 1);
    expect(store.rows).toHaveLength(0);
    expect(store.row(example().session_id)).toBeUndefined();
  });

  test("tells the rate from two states and the time between them", () => {
    store.put("opened", example({ updated_at: at(5) }));
    store.put("updated", example({ bytes_sent: 1000, bytes_received: 4000, updated_at: at(7) }));
    expect(store.rows[0]).toMatchObject({ rateSent: 500, rateReceived: 2000 });
    expect(store.totals).toMatchObject({ sent: 1000, received: 4000 });
  });

  test("an older state changes nothing", () => {
    store.put("updated", example({ bytes_sent: 1000, updated_at: at(7) }));
    store.put("listed", example({ bytes_sent: 10, updated_at: at(6) }));
    expect(store.rows[0]?.session.bytes_sent).toBe(1000);
  });

  test("what flowed before the page was opened is not counted as flowing now", () => {
    store.put("listed", example({ bytes_sent: 5000 }));
    expect(store.totals.sent).toBe(0);
    store.put("updated", example({ bytes_sent: 5100, updated_at: at(6) }));
    expect(store.totals.sent).toBe(100);
  });

  test("a list that was read meanwhile does not bring an ended session back", () => {
    store.beginList();
    store.put("ended", example({ status: "closed", end_time: at(6), updated_at: at(6) }));
    store.sweep(performance.now() + LINGER_MS + 1);
    const seen = new Set<string>();
    store.putList([example()], seen);
    store.endList(seen);
    expect(store.rows).toHaveLength(0);
    expect(store.complete.value).toBe(true);
  });

  test("after a gap, sessions that ended unheard are gone and the others stay", () => {
    store.put("opened", example({ session_id: "ended-unheard", updated_at: at(1) }));
    store.put("opened", example({ session_id: "still-runs", updated_at: at(1) }));
    store.beginList();
    store.put("opened", example({ session_id: "opened-after-the-list", updated_at: at(9) }));
    const seen = new Set<string>();
    store.putList([example({ session_id: "still-runs", updated_at: at(8) })], seen);
    store.endList(seen);
    expect(ids(store)).toEqual(["opened-after-the-list", "still-runs"]);
    expect(store.running).toBe(2);
  });

  test("what was heard of while the list was read stays, however wrong the browser's clock is", () => {
    const json = (id: string): string => JSON.stringify(example({ session_id: id, updated_at: at(1) }));
    store.put("opened", example({ session_id: "ended-unheard" }));
    store.receive("updated", json("ended-unheard"));
    store.beginList();
    store.receive("opened", json("opened-and-silent"));
    store.receive("opened", json("not-yet-applied"));
    store.endList(new Set());
    expect(ids(store)).toEqual(["not-yet-applied", "opened-and-silent"]);
  });

  test("events that are no sessions are passed over", () => {
    for (const json of [
      "",
      "{",
      "null",
      "[]",
      '{"session_id":1}',
      JSON.stringify({ ...example(), status: "odd" }),
    ]) {
      store.receive("opened", json);
    }
    store.receive("opened", JSON.stringify(example()));
    store.apply();
    expect(ids(store)).toEqual([example().session_id]);
  });

  test("keeps its rows in one array without holes, whatever order they go in", () => {
    for (const id of ["a", "b", "c", "d", "e"]) store.put("opened", example({ session_id: id }));
    for (const id of ["a", "e", "c"]) {
      store.put("ended", example({ session_id: id, status: "closed", end_time: at(9), updated_at: at(9) }));
    }
    store.sweep(performance.now() + LINGER_MS + 1);
    expect(ids(store)).toEqual(["b", "d"]);
    expect(store.rows.map((row) => row.place)).toEqual([0, 1]);
  });

  test("follows the server's clock", () => {
    const ahead = new Date(Date.now() + 3_600_000).toISOString();
    store.receive("opened", JSON.stringify(example({ updated_at: ahead })));
    store.apply();
    expect(Math.round((store.now() - Date.now()) / 60_000)).toBe(60);
  });
});

/** An event stream that the test opens and tells on. */
class Source extends EventTarget {
  static readonly CLOSED = 2;
  static all: Source[] = [];
  readyState = 0;

  constructor() {
    super();
    Source.all.push(this);
  }

  tell(name: string): void {
    this.dispatchEvent(new Event(name));
  }

  close(): void {
    this.readyState = Source.CLOSED;
  }
}

describe("the event stream", () => {
  /** Answers the requests for the list that were made, in their order. */
  let lists: { answer: (...ids: string[]) => void; signal: AbortSignal }[];
  let stream: LiveStream;
  beforeEach(() => {
    vi.useFakeTimers();
    Source.all = [];
    lists = [];
    vi.stubGlobal("EventSource", Source);
    const ask = ({ signal }: Request): Promise<Response> =>
      new Promise((resolve) => {
        const answer = (...found: string[]): void => {
          const lines = found.map((id) => JSON.stringify(example({ session_id: id })));
          resolve(new Response(`${lines.join("\n")}\n`));
        };
        lists.push({ answer, signal });
      });
    vi.stubGlobal("fetch", ask);
    stream = new LiveStream(store, () => undefined);
    stream.start();
  });
  afterEach(() => {
    stream.stop();
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });

  /** Lets time pass, milliseconds, and all that was under way come to its end. */
  const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

  test("what is missed while the list is read is read afterwards, and the list comes to its end", async () => {
    Source.all[0]?.tell("open");
    await pass(0);
    for (let turn = 0; turn < 3; turn += 1) Source.all[0]?.tell("gap");
    await pass(0);
    expect(lists).toHaveLength(1);
    lists[0]?.answer("ended-in-the-gap", "runs");
    await pass(5_000);
    expect(store.complete.value).toBe(true);
    expect(lists).toHaveLength(2);
    lists[1]?.answer("runs");
    await pass(5_000);
    expect(ids(store)).toEqual(["runs"]);
    expect(lists, "nothing was missed since").toHaveLength(2);
    Source.all[0]?.tell("gap");
    await pass(0);
    expect(lists).toHaveLength(3);
  });
});
