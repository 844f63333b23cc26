/** What the pages say is what the API and the sessions behind them say. */

import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

import { Client } from "./harness/client";
import { shows, until } from "./harness/until";
import { World } from "./harness/world";

const ALICE = { user: "alice", password: "p-of-alice" };
const BOB = { user: "bob", password: "p-of-bob" };

const rule = (name: string): string => `
[[users.rules]]
action = "block"
description = "no ${name}"
destinations = ["${name}.example"]
ports = ["*"]
protocols = ["both"]
priority = 10
`;
const HEAD = `[global]
default_policy = "allow"

[[users]]
username = "bob"
groups = []
`;

const CONFIG = `[auth]
socks_method = "userpass"
[[auth.users]]
username = "alice"
password = "p-of-alice"
[[auth.users]]
username = "bob"
password = "p-of-bob"
[acl]
enabled = true
config_file = "acl.toml"
watch = false
`;

let world: World;

beforeAll(async () => {
  world = await World.start(CONFIG, { "acl.toml": `${HEAD}${rule("secrets")}` });
  for (const [login, name, bytes] of [
    [ALICE, "one.example", 100_000],
    [ALICE, "two.example", 100_000],
    [BOB, "one.example", 50_000],
  ] as const) {
    await (await world.session(name, login)).echo(bytes);
  }
  await world.clear();
  expect(await Client.ask(world.proxy.socks, "secrets.example", 443, BOB)).toBe(2);
  await until("the sums", async () => (await stats()).total_bytes_received === 250_000);
});
afterAll(() => world?.stop());
afterEach(async () => expect(await world.clear()).toEqual([]));

async function stats(): Promise<Record<string, unknown>> {
  return Object(await world.proxy.get("api/sessions/stats?window_hours=24"));
}

/** Presses a button by its name. */
function press(page: Page, name: string | RegExp): Promise<void> {
  return page.getByRole("button", { name }).click();
}

test("the overview's sums and rankings are those of the API", async () => {
  expect(await stats()).toMatchObject({
    total_sessions: 4,
    total_bytes_sent: 250_000,
    total_bytes_received: 250_000,
    rejected_sessions: 1,
    failed_sessions: 0,
  });
  const { page } = await world.open("#/overview");
  for (const tile of [
    "Sessions 4",
    "Bytes sent 244 KiB",
    "Bytes received 244 KiB",
    "Rejected 1",
    "Failed 0",
  ]) {
    await shows(
      page.locator(".tile", { hasText: new RegExp(`^${tile.replace(/ [\d.]+( KiB)?$/, "")}\\s+[\\d–]`) }),
      tile,
    );
  }
  const users = page.getByRole("table", { name: "Top users by bytes" }).locator("tbody tr");
  await shows(users.nth(0), "alice 391 KiB 2");
  await shows(users.nth(1), "bob 97.7 KiB 2");
});

test("a destination's line leads to the sessions that it counts", async () => {
  const { page } = await world.open("#/destinations");
  const line = page.getByRole("table").locator("tbody tr", { hasText: "one.example" });
  await shows(line, `one.example:${world.target.port} 2`);
  await line.getByRole("link").click();
  await shows(page.locator(".summary"), "2 among 2 ended sessions");
  await page.getByRole("searchbox").fill(`one.example:${world.target.port + 1}`);
  await shows(page.locator(".summary"), "0 among 2 ended sessions");
});

test("usage over time is that of the user who was chosen", async () => {
  const { page } = await world.open("#/users");
  const usage = page.getByRole("region", { name: "Usage over time" });
  await shows(usage, "In all 244 KiB sent and 244 KiB received");
  await page.getByRole("table", { name: "Users by bytes" }).getByRole("link", { name: "alice" }).click();
  await shows(usage, "In all 195 KiB sent and 195 KiB received");
  expect(page.url()).toContain("user=alice");
  const { data } = Object(await world.proxy.get("api/stats/usage?user=alice&bucket=hour"));
  const sums = data.map((point: { bytes_sent: number }) => point.bytes_sent);
  expect(sums.reduce((sum: number, sent: number) => sum + sent, 0)).toBe(200_000);
});

test("rules that are read again say what was found, and events tell what failed", async () => {
  const file = join(world.proxy.folder, "acl.toml");
  const watched = await world.open("#/rules");
  const { page } = watched;
  const head = page.locator(".reload");
  await press(page, "Reload rules");
  await shows(head, "Nothing has changed: 1 rule, 1 user, 0 groups.");
  await writeFile(file, `${HEAD}${rule("secrets")}${rule("games")}`);
  await press(page, "Reload rules");
  await shows(head, "Reloaded: 2 rules, 1 user, 0 groups.");
  await page.getByRole("cell", { name: "no games" }).waitFor();
  await writeFile(file, `${HEAD}[[users.rules]]\naction = "perhaps"\n`);
  await press(page, "Reload rules");
  await shows(head, "acl.toml:8: ");
  await page.getByRole("cell", { name: "no games" }).waitFor();

  const list: { severity: string; category: string }[] = Object(
    await world.proxy.get("api/telemetry/events"),
  );
  const errors = list.filter((event) => event.severity === "error");
  expect(errors.map((event) => event.category)).toContain("acl");
  await page.goto(new URL("#/events", world.proxy.page).href);
  await shows(page.locator("p.summary"), new RegExp(`^${list.length} events? `));
  await press(page, /^error /);
  await shows(page.locator("p.summary"), new RegExp(`^${errors.length} events? `));
  expect(await page.locator(".events > li").count()).toBe(errors.length);
  expect(await page.locator(".events > li:not(.error)").count()).toBe(0);
  expect(page.url()).toContain("severity=error");
  watched.forgive(/status of 4\d\d/);
});

test("the configuration is the one that was loaded, without its secrets", async () => {
  const { page } = await world.open("#/system");
  const auth = page.getByRole("region", { name: "auth", exact: true });
  await shows(auth, "userpass");
  await shows(auth, '"password":"***"');
  const shown = await page.getByRole("main").innerText();
  expect(shown).toContain("alice");
  for (const { password } of [ALICE, BOB]) expect(shown).not.toContain(password);
});

test("the columns that were chosen are there in their order, and in the address", async () => {
  const { page } = await world.open("#/sessions?show=ended");
  const heads = page.getByRole("table", { name: "Ended sessions" }).getByRole("columnheader");
  await heads.first().waitFor();
  await press(page, "Columns");
  const form = page.getByRole("dialog", { name: "Columns" });
  for (const box of await form.getByRole("checkbox").all()) await box.setChecked(false);
  for (const name of ["Received", "User"]) await form.getByRole("checkbox", { name, exact: true }).check();
  for (let place = 0; place < 30; place += 1) {
    const up = form.getByRole("button", { name: "Move Received up" });
    if (await up.isDisabled()) break;
    await up.click();
  }
  await form.getByRole("button", { name: "Apply" }).click();
  const shown = async (): Promise<string> =>
    (await heads.allInnerTexts())
      .join(" ")
      .replace(/[^\w ]/g, "")
      .trim();
  await until("two columns", async () => (await shown()) === "Received User");
  expect(page.url()).toContain("cols=bytes_received%2Cuser");
  await page.reload();
  await until("the same two", async () => (await shown()) === "Received User");
});

test("a button copies what it says", async () => {
  const { page } = await world.open("#/sessions?show=ended&user=alice&dest=one.example", {
    permissions: ["clipboard-read", "clipboard-write"],
  });
  await page.getByRole("table", { name: "Ended sessions" }).locator("[data-line]").first().click();
  const drawer = page.getByRole("dialog", { name: "Session", exact: true });
  await drawer.getByRole("button", { name: "Copy as JSON" }).click();
  await drawer.getByRole("button", { name: "Copied" }).waitFor();
  const copied = JSON.parse(await page.evaluate(() => navigator.clipboard.readText()));
  expect(copied).toMatchObject({ user: "alice", dest_host: "one.example", bytes_sent: 100_000 });
  expect(copied).toEqual(await world.proxy.get(`api/sessions/${copied.session_id}`));
});

test("a refusal for the address of a name leads to the rule for that address", async () => {
  const loopback = rule("loopback").replace("loopback.example", "127.0.0.1");
  await writeFile(join(world.proxy.folder, "acl.toml"), `${HEAD}${loopback}`);
  const reloaded = await fetch(new URL("api/admin/reload-acl", world.proxy.page), { method: "POST" });
  expect(reloaded.ok).toBe(true);
  expect(await Client.ask(world.proxy.socks, "good.example", world.target.port, BOB)).toBe(2);
  const { page } = await world.open("#/rejections");
  const line = page.getByRole("row").filter({ hasText: "good.example" }).filter({ hasText: "no loopback" });
  await line.getByRole("link", { name: /which rule/i }).click();
  await shows(page.locator(".test-answer"), "Blocked by no loopback");
  expect(await page.getByLabel("Its address").inputValue()).toBe("127.0.0.1");
  await page.getByLabel("Its address").fill("");
  await press(page, "Test");
  await shows(page.locator(".test-answer"), "Allowed");
});
