import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { login } from "./api/login";
import { example } from "./example";
import { live } from "./live";
import { beginStream } from "./stream";

/** The connections that were made and are not closed. */
const open = new Set<EventTarget>();
class Source extends EventTarget {
  constructor() {
    super();
    open.add(this);
  }
  close(): void {
    open.delete(this);
  }
}

/** How often the list was asked for. */
let lists = 0;
let hidden = false;

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("EventSource", Source);
  vi.stubGlobal("fetch", async ({ url }: Request) => {
    if (url.includes("/export")) lists += 1;
    return new Response(`${JSON.stringify(example({ session_id: "runs" }))}\n`);
  });
  vi.spyOn(document, "hidden", "get").mockImplementation(() => hidden);
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

/** Hides or shows the page, and lets time pass, milliseconds. */
async function turn(away: boolean, ms: number): Promise<void> {
  hidden = away;
  document.dispatchEvent(new Event("visibilitychange"));
  await vi.advanceTimersByTimeAsync(ms);
}

/** The server accepts the connections that wait for it. */
async function accept(): Promise<void> {
  for (const source of open) source.dispatchEvent(new Event("open"));
  await vi.advanceTimersByTimeAsync(10);
}

test("a page that nobody sees has no stream, and what ended meanwhile is gone when it is shown again", async () => {
  hidden = true;
  beginStream();
  const visitor = { authEnabled: false, user: null, role: "read", csrfToken: null, expiresAt: null } as const;
  login.value = { kind: "in", visitor };
  expect(open.size, "opened in the background").toBe(0);
  await turn(false, 0);
  expect(open.size).toBe(1);
  await accept();
  expect(lists).toBe(1);
  live.put("opened", example({ session_id: "ends-unheard" }));

  await turn(true, 2_000);
  await turn(false, 60_000);
  expect([open.size, lists], "another tab was looked at for a moment").toEqual([1, 1]);
  await turn(true, 60_000);
  expect(open.size).toBe(0);
  await turn(false, 0);
  expect(open.size).toBe(1);
  expect(live.connection.value.kind).toBe("connecting");
  await accept();
  expect(lists).toBe(2);
  expect(live.rows.map((row) => row.session.session_id)).toEqual(["runs"]);
});
