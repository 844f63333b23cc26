/** Measures the dashboard: 100 000 running sessions at 2 000 events per second, and the first view. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { cpus, loadavg } from "node:os";
import { resolve } from "node:path";

import type { Browser } from "playwright-core";
import { afterAll, beforeAll, test } from "vitest";

import { Alone, type AlonePage } from "./harness/alone";
import { launch } from "./harness/browser";
import { CONFIG, RULES, Traffic, writePast } from "./harness/demo";
import { Server } from "./harness/proxy";
import { asAsked, Names, Target } from "./harness/target";
import { until } from "./harness/until";

const ROWS = Number(process.env.ROWS ?? 100_000);
const EVENTS = Number(process.env.EVENTS ?? 2_000);

let browser: Browser;

function pause(ms: number): Promise<void> {
  return new Promise((resume) => setTimeout(resume, ms));
}

const figures: string[] = [];

function tell(name: string, value: string): void {
  figures.push(`| ${name} | ${value} |`);
}

beforeAll(async () => {
  browser = await launch();
});

afterAll(async () => {
  await browser?.close();
  const load = loadavg().map((value) => value.toFixed(1));
  process.stdout.write(`\n${cpus()[0]?.model}, ${cpus().length} cores, load ${load.join(" ")}\n\n`);
  process.stdout.write(`| | measured |\n|---|---|\n${figures.join("\n")}\n`);
});

/** How much the page moved by itself, and how long letters took to show, milliseconds. */
interface Seen {
  shift: number;
  slowest: number;
  letters: number[];
}

/** Sums how much the page moves by itself, from its first moment on; notes how long a key takes to show. */
function watch(): void {
  const seen: Seen = { shift: 0, slowest: 0, letters: [] };
  Object.assign(globalThis, { seen });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (!Reflect.get(entry, "hadRecentInput")) seen.shift += Number(Reflect.get(entry, "value"));
    }
  }).observe({ type: "layout-shift", buffered: true });
  new PerformanceObserver((list) => {
    for (const { name, duration } of list.getEntries()) {
      if (name === "input" || name.startsWith("key")) seen.slowest = Math.max(seen.slowest, duration);
      if (name === "input") seen.letters.push(duration);
    }
  }).observe(Object.assign({ type: "event", buffered: true }, { durationThreshold: 16 }));
}

/** What `watch` has seen. */
function seen(): Seen {
  return Reflect.get(globalThis, "seen");
}

/** Used memory of the page: its heap after a collection, and its process's own pages, in MB. */
async function memory(browser: Alone, page: AlonePage): Promise<{ heap: number; process: number }> {
  await page.send("Performance.enable");
  await page.send("HeapProfiler.collectGarbage");
  const { metrics }: { metrics: { name: string; value: number }[] } =
    await page.send("Performance.getMetrics");
  const heap = metrics.find(({ name }) => name === "JSHeapUsedSize")?.value ?? 0;
  const { processInfo } = await browser.send("SystemInfo.getProcessInfo");
  let most = 0;
  for (const { type, id } of processInfo) {
    if (type !== "renderer") continue;
    const status = await readFile(`/proc/${id}/status`, "utf8");
    most = Math.max(most, Number(/RssAnon:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1000);
  }
  return { heap: heap / 1e6, process: most };
}

/** Scrolls through the list for so long; gives frames per second and the longest pause between two. */
function scroll(ms: number): Promise<{ fps: number; longest: number }> {
  return new Promise((done) => {
    const list = document.querySelector(".table");
    const start = performance.now();
    let [frames, longest, last] = [0, 0, start];
    const step = (): void => {
      const now = performance.now();
      longest = Math.max(longest, now - last);
      last = now;
      frames += 1;
      if (list !== null) list.scrollTop += 90;
      if (now - start < ms) requestAnimationFrame(step);
      else done({ fps: (frames * 1000) / (now - start), longest });
    };
    requestAnimationFrame(step);
  });
}

/** In place of everything, a list as long with nothing in it: what the machine can do at most. */
function leaveNothing(): void {
  document.body.innerHTML =
    '<div class="table" style="height: 700px"><div style="height: 3000000px"></div></div>';
}

test("a long live list", { timeout: 300_000 }, async () => {
  const flood: ChildProcess = spawn("node", [resolve(import.meta.dirname, "harness/flood.mjs")], {
    env: { ...process.env, ROWS: String(ROWS), EVENTS: String(EVENTS) },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const alone = await Alone.start();
  try {
    const [port] = await once(flood.stdout ?? flood, "data");
    const page = await alone.open(watch);
    const began = Date.now();
    await page.send("Page.navigate", { url: `http://127.0.0.1:${String(port).trim()}/#/sessions` });
    const whole = `of ${ROWS.toLocaleString("en-US")} `;
    const summary = (): Promise<string> =>
      page.run(() => document.querySelector<HTMLElement>(".summary")?.innerText ?? "");
    await until("all rows", async () => (await summary()).includes(whole));
    tell(
      `${ROWS.toLocaleString("en-US")} rows read and shown`,
      `${((Date.now() - began) / 1000).toFixed(1)} s`,
    );

    const frames = async (name: string): Promise<void> => {
      const { fps, longest } = await page.run(scroll, 5_000);
      tell(name, `${fps.toFixed(0)} frames/s, the longest pause ${longest.toFixed(0)} ms`);
    };
    await frames("scrolling");
    await pause(1_000);

    await page.run(() => document.querySelector<HTMLElement>("input[type=search]")?.focus());
    for (const word of ["user-12", "host-4 443", "10.1.", "no such thing"]) {
      for (const letter of word) {
        await page.press(letter);
        await pause(120);
      }
      await page.run(() => document.querySelector<HTMLInputElement>("input[type=search]")?.select());
      await page.press("Delete", 46);
      await pause(500);
    }
    const { slowest, letters } = await page.run(seen);
    const middle = letters.sort((one, other) => one - other)[Math.floor(letters.length / 2)] ?? 0;
    tell(
      "a letter in the filter, to the frame that shows it",
      `${middle} ms in the middle of ${letters.length}, slowest ${slowest} ms`,
    );

    await frames("scrolling after a minute");
    const used = await memory(alone, page);
    tell("memory", `${used.heap.toFixed(0)} MB heap, ${used.process.toFixed(0)} MB of the process`);
    tell("layout shift", String((await page.run(seen)).shift));
    await page.run(leaveNothing);
    await frames("scrolling a list of nothing, beside the same events");
  } finally {
    await alone.stop();
    flood.kill();
  }
});

test("the first view", { timeout: 300_000 }, async () => {
  const [target, names] = await Promise.all([Target.start(0, asAsked), Names.start()]);
  const server = await Server.start(`${CONFIG}\n${names.config}`, { "acl.toml": RULES }, writePast);
  const traffic = new Traffic(server.socks, target.port, 20);
  try {
    for (const view of ["overview", "sessions", "users"]) {
      const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 } })).newPage();
      await page.addInitScript(watch);
      await page.goto(new URL(`#/${view}`, server.page).href);
      await page.getByText("Live", { exact: true }).waitFor();
      await page.waitForFunction(() => document.querySelector("[aria-busy=true]") === null);
      const times = await page.evaluate(() => ({
        painted: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0,
        filled: performance.now(),
      }));
      // Data goes on coming.
      await pause(10_000);
      const { shift } = await page.evaluate(seen);
      tell(
        `first view of ${view}`,
        `painted after ${times.painted.toFixed(0)} ms, full after ${times.filled.toFixed(0)} ms, ` +
          `layout shift in 10 s ${shift.toFixed(3)}`,
      );
      await page.context().close();
    }
  } finally {
    await traffic.stop();
    await server.stop();
    await target.stop();
    names.stop();
  }
});
