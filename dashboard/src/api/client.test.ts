import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { example } from "../example";
import { ANSWER_LIMIT_MS } from "./client";
import { rules } from "./server";
import { readRunning } from "./sessions";

const never = new AbortController().signal;

/** What was handed on, and the list as it arrives. */
let taken: string[];
let arriving: ReadableStreamDefaultController<Uint8Array>;

beforeEach(() => {
  vi.useFakeTimers();
  // Node's own, which the browser's stand-in does not fake.
  vi.spyOn(AbortSignal, "timeout").mockImplementation((ms) => {
    const limit = new AbortController();
    setTimeout(() => limit.abort(new DOMException("too long", "TimeoutError")), ms);
    return limit.signal;
  });
  taken = [];
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

test("a question that the server does not answer has failed after a while", async () => {
  vi.stubGlobal("fetch", ({ signal }: Request) => {
    return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  });
  const outcome = rules(never);
  await vi.advanceTimersByTimeAsync(ANSWER_LIMIT_MS + 1);
  expect(await outcome).toEqual({ kind: "offline" });
});

test("the list of running sessions takes as long as it takes, but has failed when nothing more comes", async () => {
  vi.stubGlobal("fetch", async ({ signal }: Request) => {
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        arriving = controller;
        signal.addEventListener("abort", () => controller.error(signal.reason));
      },
    });
    return new Response(body);
  });
  const outcome = readRunning((list) => taken.push(...list.map((one) => one.session_id)), never);
  for (const id of ["a", "b", "c"]) {
    await vi.advanceTimersByTimeAsync(ANSWER_LIMIT_MS - 1_000);
    arriving.enqueue(new TextEncoder().encode(`${JSON.stringify(example({ session_id: id }))}\n`));
    await vi.advanceTimersByTimeAsync(0);
  }
  expect(taken).toEqual(["a", "b", "c"]);
  await vi.advanceTimersByTimeAsync(ANSWER_LIMIT_MS + 1);
  expect(await outcome).toEqual({ kind: "offline" });
});
