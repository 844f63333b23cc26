/** The pictures of the documentation, taken from a dashboard under a scripted load. */

import { mkdir, writeFile } from "node:fs/promises";
import { resolve } from "node:path";

import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, test } from "vitest";

import { launch } from "./harness/browser";
import { CONFIG, RULES, Traffic, writePast } from "./harness/demo";
import { Server } from "./harness/proxy";
import { asAsked, Names, Target } from "./harness/target";
import { until } from "./harness/until";

/** Pictures that the documentation shows, and where they lie; the others are only to be looked at. */
const DOCUMENTED = ["overview", "sessions", "session", "users", "rejections", "phone-sessions"];
const IMAGES = resolve(import.meta.dirname, "../../docs/images");
const OTHERS = resolve(import.meta.dirname, "../../target/screenshots");

/** Seconds of traffic before the pictures are taken. */
const WARM_UP = Number(process.env.RUSTSOCKS_DEMO_SECS ?? 180);

const FONTS = `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<dir>/usr/share/fonts</dir>
<alias binding="strong"><family>system-ui</family><prefer><family>Inter</family></prefer></alias>
<alias binding="strong"><family>sans-serif</family><prefer><family>Inter</family></prefer></alias>
<alias binding="strong"><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>`;

let server: Server;
let target: Target;
let names: Names;
let traffic: Traffic;
let browser: Browser;

beforeAll(
  async () => {
    [target, names] = await Promise.all([Target.start(8443, asAsked), Names.start()]);
    server = await Server.start(`${CONFIG}\n${names.config}`, { "acl.toml": RULES }, writePast);
    traffic = new Traffic(server.socks, target.port, 40);
    const fonts = resolve(server.folder, "fonts.conf");
    await writeFile(fonts, FONTS);
    for (const folder of [IMAGES, OTHERS]) await mkdir(folder, { recursive: true });
    browser = await launch(["--font-render-hinting=none"], { FONTCONFIG_FILE: fonts });
    await new Promise((resume) => setTimeout(resume, WARM_UP * 1000));
  },
  (WARM_UP + 120) * 1000,
);

afterAll(async () => {
  await traffic?.stop();
  await browser?.close();
  await server?.stop();
  await target?.stop();
  names?.stop();
});

interface Picture {
  name: string;
  view: string;
  scheme?: "light" | "dark";
  size?: { width: number; height: number };
  prepare?: (page: Page) => Promise<unknown>;
}

const PHONE = { width: 390, height: 760 };

const PICTURES: readonly Picture[] = [
  { name: "overview", view: "#/overview" },
  { name: "overview-dark", view: "#/overview", scheme: "dark" },
  { name: "sessions", view: "#/sessions?sort=-rate", scheme: "dark" },
  { name: "sessions-grouped", view: "#/sessions?group=user" },
  {
    name: "session",
    view: "#/sessions?sort=-bytes_sent",
    prepare: (page) => page.locator("[data-line='2']").click(),
  },
  {
    name: "end-many",
    view: "#/sessions?user=ci-runner",
    prepare: (page) => page.getByRole("button", { name: "End shown…" }).click(),
  },
  { name: "ended", view: "#/sessions?show=ended" },
  { name: "users", view: "#/users?window=168&user=alice" },
  { name: "destinations", view: "#/destinations?window=168" },
  { name: "rejections", view: "#/rejections?window=168" },
  {
    name: "rules",
    view: "#/rejections",
    prepare: (page) =>
      page
        .getByRole("link", { name: /which rule/i })
        .first()
        .click(),
  },
  { name: "events", view: "#/events", scheme: "dark" },
  { name: "system", view: "#/system" },
  { name: "phone-overview", view: "#/overview", size: PHONE },
  { name: "phone-sessions", view: "#/sessions", size: PHONE, scheme: "dark" },
];

test("pictures", { timeout: 300_000 }, async () => {
  for (const { name, view, scheme = "light", size, prepare } of PICTURES) {
    const context = await browser.newContext({
      viewport: size ?? { width: 1280, height: 800 },
      deviceScaleFactor: size === undefined ? 1 : 2,
      colorScheme: scheme,
      reducedMotion: "reduce",
    });
    const page = await context.newPage();
    await page.goto(new URL(view, server.page).href);
    await page.getByText("Live", { exact: true }).waitFor({ state: "attached" });
    await until("the page to load", async () => (await page.locator("[aria-busy=true]").count()) === 0);
    // Rates need two states of a session.
    await new Promise((resume) => setTimeout(resume, 3_000));
    await prepare?.(page);
    await new Promise((resume) => setTimeout(resume, 700));
    const folder = DOCUMENTED.includes(name) ? IMAGES : OTHERS;
    await page.screenshot({ path: resolve(folder, `${name}.png`) });
    await context.close();
  }
});
