/** Every page: opens, asks nobody else, is accessible in both themes, fits a phone, survives what users send. */

import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

import { breaches } from "./harness/browser";
import { Client } from "./harness/client";
import { until } from "./harness/until";
import { World } from "./harness/world";

const PAGES = ["overview", "sessions", "users", "destinations", "rejections", "rules", "events", "system"];

/** Names that were made to break a page. */
const HOSTILE = [
  "<img src=x onerror=document.title='owned'>",
  "\"'><script>document.title='owned'</script>",
  "\u202egnp.exe\u2066",
  "👩‍👩‍👧 ünï–çødé 日本語",
  "w".repeat(255),
  "../../../etc/passwd?a=b&c=d#e",
];

/** A destination as hostile as a client can ask for. */
const NOWHERE = "unknown.<b/onclick='x'>&lt;\"</b>";

/** A name that nobody has; the record of the failed login tells it. */
const NOBODY = "no\nbody\u202e<u>";

const RULES = `[global]
default_policy = "allow"

[[users]]
username = "<b>bold</b>"
groups = []

[[users.rules]]
action = "block"
description = "no <i>secrets</i>"
destinations = ["secret.example"]
ports = ["*"]
protocols = ["both"]
priority = 10
`;

let world: World;

beforeAll(async () => {
  const users = HOSTILE.map((user) => `[[auth.users]]\nusername = ${JSON.stringify(user)}\npassword = "p"\n`);
  users.push('[[auth.users]]\nusername = "<b>bold</b>"\npassword = "p"\n');
  const config = `[auth]\nsocks_method = "userpass"\n${users.join("")}[acl]\nenabled = true\nconfig_file = "acl.toml"\n`;
  world = await World.start(config, { "acl.toml": RULES });
  for (const user of HOSTILE) {
    const login = { user, password: "p" };
    // One session that runs on, one that fails under a hostile name.
    await (await Client.open(world.proxy.socks, "kept.example", world.target.port, login)).echo(1000);
    await Client.ask(world.proxy.socks, NOWHERE, 80, login);
  }
  const bold = { user: "<b>bold</b>", password: "p" };
  expect(await Client.ask(world.proxy.socks, "secret.example", 443, bold)).toBe(2);
  expect(await Client.ask(world.proxy.socks, "x.example", 1, { user: NOBODY, password: "p" })).toBe(0xff);
});
afterAll(() => world?.stop());
afterEach(async () => expect(await world.clear()).toEqual([]));

/** Waits until nothing in the page is loading any more. */
async function settled(page: import("playwright-core").Page): Promise<void> {
  await page.getByText("Live", { exact: true }).waitFor();
  await until("the page to load", async () => (await page.locator("[aria-busy=true]").count()) === 0);
}

for (const scheme of ["light", "dark"] as const) {
  test(`every page opens and is accessible in the ${scheme} theme`, async () => {
    const { page } = await world.open("", { colorScheme: scheme });
    for (const name of [...PAGES, "sessions?show=ended", "sessions?group=user"]) {
      await page.goto(new URL(`#/${name}`, world.proxy.page).href);
      await settled(page);
      expect(await page.evaluate(() => document.documentElement.dataset.theme)).toBe(scheme);
      expect(await breaches(page), name).toEqual([]);
      expect(await page.title()).not.toContain("owned");
    }
    // What lies over a page.
    await page.goto(new URL("#/sessions", world.proxy.page).href);
    await page.locator("[data-line]").first().click();
    await page.getByRole("dialog", { name: "Session", exact: true }).waitFor();
    expect(await breaches(page), "drawer").toEqual([]);
    for (const button of ["End session", "Filters", "Columns", "Keyboard shortcuts"]) {
      await page.getByRole("button", { name: button, exact: true }).click();
      expect(await breaches(page), button).toEqual([]);
      await page.locator("dialog[open]").getByRole("button", { name: "Close" }).click();
      // The drawer lies over the other buttons.
      if (button === "End session") await page.keyboard.press("Escape");
    }
  });
}

test("every page fits a phone", async () => {
  const phone = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };
  const { page } = await world.open("", phone);
  for (const name of [...PAGES, "sessions?show=ended"]) {
    await page.goto(new URL(`#/${name}`, world.proxy.page).href);
    await settled(page);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(wide, `${name} is wider than the screen by`).toBeLessThanOrEqual(0);
    expect(await breaches(page), name).toEqual([]);
  }
});

test("names that were made to break a page stand in it as text", async () => {
  const { page } = await world.open("#/sessions");
  await settled(page);
  const table = page.getByRole("table", { name: "Running sessions" });
  const shown = await table.innerText();
  expect(shown).toContain("<img src=x onerror=document.title='owned'>");
  expect(shown).toContain("\\u{202e}gnp.exe");
  expect(shown).toContain("👩‍👩‍👧 ünï–çødé 日本語");
  expect(shown).toContain("w".repeat(255));
  expect(await page.locator("main img, main script, main b b, main i").count()).toBe(0);
  // A link to a name's sessions finds that very name again.
  for (const user of HOSTILE) {
    const query = new URLSearchParams({ show: "ended", user });
    await page.goto(new URL(`#/sessions?${query}`, world.proxy.page).href);
    await page.getByText("1 ended session", { exact: true }).waitFor();
  }
  await page.goto(new URL("#/sessions?show=ended&cols=dest,detail", world.proxy.page).href);
  const ended = page.getByRole("table", { name: "Ended sessions" });
  await ended.getByText(`${NOWHERE}:80`).first().waitFor();
  await ended.getByText("no\\nbody\\u{202e}<u>").waitFor();
  expect(await page.title()).toBe("Sessions · RustSocks");
});

test("the keyboard alone reaches a session and leaves it again", async () => {
  const { page } = await world.open("#/overview");
  await settled(page);
  await page.keyboard.press("g");
  await page.keyboard.press("s");
  await page.getByRole("table", { name: "Running sessions" }).waitFor();
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog", { name: "Session", exact: true }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog", { name: "Session", exact: true }).waitFor({ state: "detached" });
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
});

test("a rejection leads to the rule that decided", async () => {
  const { page } = await world.open("#/rejections");
  await settled(page);
  await page.getByText("no <i>secrets</i>").first().waitFor();
  await page
    .getByRole("link", { name: /which rule/i })
    .first()
    .click();
  await until(
    "the test's answer",
    async () => /block/i.test(await page.getByRole("main").innerText()) && page.url().includes("#/rules"),
  );
});
