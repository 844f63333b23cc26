/**
 * Chromium with nobody listening in. Playwright is told of each event of a page's stream, and two thousand
 * per second cost the browser some 15 % of a core, which a visitor's has for itself; so what is measured
 * is measured without it, over the browser's own protocol.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";

import { CHROMIUM, FLAGS } from "./browser";

interface Answer {
  id?: number;
  result?: unknown;
  error?: { message: string };
}

interface Waiting {
  resolve: (result: unknown) => void;
  reject: (reason: Error) => void;
}

/** A browser. `stop` it, and its profile is gone. */
export class Alone {
  private readonly waiting = new Map<number, Waiting>();
  private sent = 0;
  private rest = "";

  private constructor(
    private readonly child: ChildProcess,
    private readonly folder: string,
    private readonly into: Writable,
    out: Readable,
  ) {
    out.on("data", (chunk) => {
      const parts = `${this.rest}${chunk}`.split("\0");
      this.rest = parts.pop() ?? "";
      for (const part of parts) this.take(JSON.parse(part));
    });
  }

  static async start(): Promise<Alone> {
    const folder = await mkdtemp(join(tmpdir(), "rustsocks-browser-"));
    const child = spawn(
      CHROMIUM,
      ["--headless", ...FLAGS, "--remote-debugging-pipe", `--user-data-dir=${folder}`, "about:blank"],
      { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] },
    );
    const [, , , into, out] = child.stdio;
    if (!(into instanceof Writable) || !(out instanceof Readable)) throw new Error("no pipes to the browser");
    return new Alone(child, folder, into, out);
  }

  private take({ id, result, error }: Answer): void {
    const waiting = this.waiting.get(id ?? 0);
    this.waiting.delete(id ?? 0);
    if (error === undefined) waiting?.resolve(result);
    else waiting?.reject(new Error(error.message));
  }

  /** Asks the browser, or the page of a session, and gives its answer. */
  // biome-ignore lint/suspicious/noExplicitAny: the protocol has as many shapes as methods.
  send(method: string, params: object = {}, sessionId?: string): Promise<any> {
    this.sent += 1;
    const id = this.sent;
    this.into.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
  }

  /** A new page, in which `before` is run before each document's own scripts. */
  async open(before: () => void): Promise<AlonePage> {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const page = new AlonePage((method, params) => this.send(method, params, sessionId));
    const size = { width: 1280, height: 800, deviceScaleFactor: 1, mobile: false };
    await page.send("Emulation.setDeviceMetricsOverride", size);
    await page.send("Page.enable");
    await page.send("Page.addScriptToEvaluateOnNewDocument", { source: `(${before})()` });
    return page;
  }

  async stop(): Promise<void> {
    const ended = once(this.child, "exit");
    await this.send("Browser.close");
    await ended;
    await rm(this.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  }
}

/** A page of such a browser. */
export class AlonePage {
  constructor(
    // biome-ignore lint/suspicious/noExplicitAny: as above.
    readonly send: (method: string, params?: object) => Promise<any>,
  ) {}

  /** Runs a function in the page; it sees its arguments and nothing else of where it is written. */
  async run<A extends unknown[], T>(what: (...args: A) => T | Promise<T>, ...args: A): Promise<T> {
    const expression = `(${what})(${args.map((value) => JSON.stringify(value)).join()})`;
    const wanted = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", wanted);
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
    return result.value;
  }

  /** Presses a key: a letter, or one that has a name and a code. */
  async press(key: string, code?: number): Promise<void> {
    const one = code === undefined ? { key, text: key } : { key, code: key, windowsVirtualKeyCode: code };
    await this.send("Input.dispatchKeyEvent", { type: "keyDown", ...one });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...one });
  }
}
