/** The sessions page with real sessions behind it. */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

import { shows, until } from "./harness/until";
import { World } from "./harness/world";

let world: World;

beforeAll(async () => {
  world = await World.start();
});
afterAll(() => world?.stop());
afterEach(async () => expect(await world.clear()).toEqual([]));

/** The rows of the list, without its head. */
function rows(page: Page, label = "Running sessions") {
  return page.getByRole("table", { name: label }).locator("[data-line]");
}

/** What the API lists as ended, the newest first. */
async function ended(query: string): Promise<Record<string, unknown>[]> {
  const list: unknown = await world.proxy.get(`api/sessions/history?${query}`);
  return Object(list).data;
}

test("a session appears, counts and ends while the page is open", async () => {
  const { page } = await world.open("#/sessions");
  await page.getByText("No session runs now").waitFor();
  const client = await world.session("live.example");
  const row = rows(page).filter({ hasText: "live.example" });
  await row.waitFor();
  await shows(row, "running");
  await client.echo(100_000);
  await shows(row, /97\.7 KiB\s+97\.7 KiB/);
  client.close();
  await shows(row, /client (closed|reset)/);
  await row.waitFor({ state: "detached" });
  await page.getByText("No session runs now").waitFor();
});

test("one session is ended from its drawer, with a reason that stands in the record", async () => {
  const client = await world.session("one.example");
  const { page } = await world.open("#/sessions");
  await rows(page).filter({ hasText: "one.example" }).click();
  const drawer = page.getByRole("dialog", { name: "Session", exact: true });
  await shows(drawer, `one.example:${world.target.port}`);
  await drawer.getByRole("button", { name: "End session" }).click();
  const dialog = page.getByRole("dialog", { name: "End session" });
  await shows(dialog, "1 running session");
  await dialog.getByLabel("Reason").fill("test <b>4711</b>");
  await dialog.getByRole("button", { name: "End session" }).click();
  await client.ended();
  await shows(drawer, "ended by an operator");
  const [record] = await until("the record", async () => {
    const found = await ended("dest=one.example");
    return found.length > 0 && found;
  });
  expect(record).toMatchObject({ close_reason: "admin_terminated", status: "closed" });
  expect(record?.close_detail).toContain("test <b>4711</b>");
});

test("all that a filter shows is ended after a preview, and nothing else", async () => {
  const three = await Promise.all([1, 2, 3].map(() => world.session("many.example")));
  const other = await world.session("other.example");
  const { page } = await world.open("#/sessions?dest=many.example");
  await until("three rows", async () => (await rows(page).count()) === 3);
  await page.getByRole("button", { name: "End shown…" }).click();
  const dialog = page.getByRole("dialog", { name: "End sessions" });
  await shows(dialog, "3 running sessions");
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await other.echo(10);
  expect(await rows(page).filter({ hasText: "running" }).count()).toBe(3);
  await page.getByRole("button", { name: "End shown…" }).click();
  await shows(dialog, "3 running sessions");
  const late = await world.session("many.example");
  await until("a fourth row", async () => (await rows(page).count()) === 4);
  await dialog.getByRole("button", { name: "End 3 sessions" }).click();
  await Promise.all(three.map((client) => client.ended()));
  await late.echo(10);
  await until("three records", async () => {
    const found = await ended("dest=many.example&close_reason=admin_terminated");
    return found.length === 3;
  });
  await other.echo(10);
});

test("filter, order and groups are in the address, and an address brings them back", async () => {
  for (const [name, count] of [
    ["red.example", 10],
    ["red.example", 3000],
    ["blue.example", 500],
  ] as const) {
    await (await world.session(name)).echo(count);
  }
  const { page } = await world.open("#/sessions");
  await until("three rows", async () => (await rows(page).count()) === 3);
  await page.getByRole("searchbox", { name: "Filter sessions" }).fill("RED exam");
  await until("two rows", async () => (await rows(page).count()) === 2);
  await page.getByRole("columnheader", { name: "Sent" }).getByRole("button").click();
  await shows(rows(page).first(), "2.93 KiB");
  const address = page.url();
  expect(address).toMatch(/#\/sessions\?.*q=RED/);
  expect(await page.locator("dialog[open]").count(), "ordering opens no session").toBe(0);

  const again = (await world.open(new URL(address).hash)).page;
  await until("two rows", async () => (await rows(again).count()) === 2);
  await shows(rows(again).first(), "2.93 KiB");
  const sent = again.getByRole("columnheader", { name: "Sent" });
  expect(await sent.getAttribute("aria-sort")).toBe("descending");
  expect(await again.getByRole("searchbox", { name: "Filter sessions" }).inputValue()).toBe("RED exam");

  await again.getByRole("searchbox", { name: "Filter sessions" }).fill("");
  await again.getByLabel("Group by").selectOption("dest");
  const group = again.locator(".line.group", { hasText: "red.example" });
  await shows(group, "2 sessions");
  await group.click();
  await until("the group's rows", async () => (await rows(again).count()) === 4);
  await again.reload();
  await shows(group, "2 sessions");
  await again.goBack();
});

test("a filter made in the form narrows the ended sessions and can be taken away", async () => {
  for (const name of ["wide.example", "narrow.example"]) {
    const client = await world.session(name);
    await client.echo(50);
    client.close();
  }
  await until("two records", async () => (await ended("dest=narrow.example")).length === 1);
  const { page } = await world.open("#/sessions?show=ended");
  await rows(page, "Ended sessions").first().waitFor();
  await page.getByRole("button", { name: "Filters" }).click();
  const form = page.getByRole("dialog", { name: "Filters" });
  await form.getByLabel("Destination", { exact: true }).fill("narrow.example");
  await form.getByRole("button", { name: "Apply" }).click();
  await shows(page.locator(".summary"), "1 ended session");
  expect(await rows(page, "Ended sessions").count()).toBe(1);
  expect(page.url()).toContain("dest=narrow.example");
  await page.getByRole("button", { name: "Remove the filter destination narrow.example" }).click();
  await until("more rows", async () => (await rows(page, "Ended sessions").count()) > 1);
  await page.goBack();
});

test("a paused view stands still and loses nothing", async () => {
  const { page } = await world.open("#/sessions");
  await page.getByText("No session runs now").waitFor();
  await page.getByRole("button", { name: "Pause" }).click();
  await world.session("paused.example");
  await shows(page.locator(".summary"), "1 opened");
  expect(await rows(page).count()).toBe(0);
  await page.getByRole("button", { name: "Resume" }).click();
  await rows(page).filter({ hasText: "paused.example" }).waitFor();
});

/** The ledger's rows of ended sessions as the database has them. */
function stored(): Record<string, unknown>[] {
  const sql =
    "SELECT session_id, user, dest_host, dest_port, bytes_sent, bytes_received, packets_sent, " +
    "status, close_reason, duration_ms FROM sessions WHERE status <> 'active' ORDER BY session_id";
  return JSON.parse(execFileSync("sqlite3", ["-json", world.proxy.database, sql], { encoding: "utf8" }));
}

test("what is exported is what the database holds", async () => {
  await (await world.session("export.example")).echo(1234);
  await world.clear();
  await until("no session", async () => Object(await world.proxy.get("api/sessions/active")).total === 0);
  const { page } = await world.open("#/sessions?show=ended");
  await rows(page, "Ended sessions").first().waitFor();
  const save = async (name: string): Promise<string> => {
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name }).click(),
    ]);
    return readFileSync(await download.path(), "utf8");
  };
  const lines = (await save("Export NDJSON")).trimEnd().split("\n");
  const exported: Record<string, unknown>[] = lines.map((line) => JSON.parse(line));
  const database = stored();
  const columns = Object.keys(database[0] ?? {});
  const narrowed = exported
    .map((session) => Object.fromEntries(columns.map((name) => [name, session[name]])))
    .sort((left, right) => (String(left.session_id) < String(right.session_id) ? -1 : 1));
  expect(narrowed).toEqual(database);

  const csv = (await save("Export CSV")).trimEnd().split("\r\n");
  const ids = csv.slice(1).map((line) => line.split(",")[csv[0]?.split(",").indexOf("session_id") ?? 0]);
  expect(ids.sort()).toEqual(database.map((session) => session.session_id));
});

test("a server that starts again is found again, and what is shown is right", async () => {
  await world.session("before.example");
  const watched = await world.open("#/sessions");
  const { page } = watched;
  await rows(page).filter({ hasText: "before.example" }).waitFor();
  await world.proxy.end();
  await page.getByText("Offline, lost").waitFor();
  await world.proxy.restart();
  await shows(page.locator(".connection"), "Live");
  await world.session("after.example");
  await rows(page).filter({ hasText: "after.example" }).waitFor();
  await rows(page).filter({ hasText: "before.example" }).waitFor({ state: "detached" });
  await shows(page.locator(".summary"), "1 of 1 running session");
  watched.forgive(
    /ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET/,
  );
});
