/** Debian's Chromium without a window, and pages that keep a list of what went wrong in them. */

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

import type { Server } from "./proxy";

export const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** Without a sandbox of its own, because in a container it may not make one; the pages are ours. */
export const FLAGS: readonly string[] = ["--no-sandbox", "--disable-dev-shm-usage"];

/** Starts a browser. */
export function launch(args: string[] = [], env: Record<string, string> = {}): Promise<Browser> {
  return chromium.launch({
    executablePath: CHROMIUM,
    env: { ...process.env, ...env },
    args: [...FLAGS, ...args],
  });
}

/** A page and everything that should not have happened in it. */
export class Watched {
  /** Errors of the console, uncaught exceptions, requests to anywhere but the server. */
  readonly faults: string[] = [];

  private constructor(readonly page: Page) {}

  /** Opens a view of a proxy's dashboard, such as `#/sessions`. */
  static async open(
    browser: Browser,
    proxy: Server,
    view = "",
    options: BrowserContextOptions = {},
  ): Promise<Watched> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    const page = await context.newPage();
    const watched = new Watched(page);
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") watched.faults.push(message.text());
    });
    page.on("pageerror", (error) => watched.faults.push(String(error)));
    page.on("request", (request) => {
      const url = new URL(request.url());
      if (url.origin !== proxy.origin && url.protocol !== "data:" && url.protocol !== "blob:") {
        watched.faults.push(`asked ${url.href}`);
      }
    });
    await page.goto(new URL(view, proxy.page).href);
    return watched;
  }

  /** Takes the faults that this pattern names off the list: those that a test brings about. */
  forgive(pattern: RegExp): void {
    const others = this.faults.filter((fault) => !pattern.test(fault));
    this.faults.splice(0, this.faults.length, ...others);
  }

  async close(): Promise<void> {
    await this.page.context().close();
  }
}

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

/** Every breach of accessibility rules that axe finds, one line each. */
export async function breaches(page: Page): Promise<string[]> {
  await page.evaluate(await readFile(AXE, "utf8"));
  return page.evaluate(async () => {
    // @ts-expect-error: axe came with the script above
    const found = await globalThis.axe.run(document, { resultTypes: ["violations"] });
    return found.violations.flatMap(
      (rule: { id: string; nodes: { html: string; failureSummary: string }[] }) =>
        rule.nodes.map((node) => `${rule.id}: ${node.html}\n  ${node.failureSummary}`),
    );
  });
}
