/** Logins: who sees what, who may do what, and what becomes of the page when a login ends. */

import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

import { breaches } from "./harness/browser";
import { shows, until } from "./harness/until";
import { World } from "./harness/world";

const CONFIG = `[sessions]
storage = "memory"
[sessions.dashboard_auth]
enabled = true
[[sessions.dashboard_auth.users]]
username = "olga"
password = "operates"
role = "operate"
[[sessions.dashboard_auth.users]]
username = "rita"
password = "reads"
role = "read"
`;

/** What a browser writes into its console for a question that needs a login. */
const UNAUTHORIZED = /status of (401|429)/;

let world: World;

beforeAll(async () => {
  world = await World.start(CONFIG);
});
afterAll(() => world?.stop());
afterEach(async () => {
  const faults = await world.clear();
  expect(faults.filter((fault) => !UNAUTHORIZED.test(fault))).toEqual([]);
});

async function logIn(page: Page, user: string, password: string): Promise<void> {
  const form = page.getByRole("form", { name: "Log in" });
  await form.getByLabel("User name").fill(user);
  await form.getByLabel("Password").fill(password);
  await form.getByRole("button", { name: "Log in" }).click();
}

async function ending(page: Page): Promise<number> {
  return page.getByRole("button", { name: /^End / }).count();
}

test("without a login there is a form and nothing else", async () => {
  await world.session("secret.example");
  const { page } = await world.open("#/sessions");
  await page.getByRole("form", { name: "Log in" }).waitFor();
  expect(await page.getByRole("main").innerText()).not.toContain("secret.example");
  expect(await breaches(page)).toEqual([]);
  const answer = await fetch(new URL("api/sessions/active", world.proxy.page));
  expect(answer.status).toBe(401);
  await logIn(page, "olga", "wrong");
  await shows(page.getByRole("alert"), "The user name or the password is wrong.");
});

test("an operator ends a session, and the record tells who it was", async () => {
  const client = await world.session("operated.example");
  const { page } = await world.open("#/sessions?dest=operated.example");
  await logIn(page, "olga", "operates");
  await page.locator("[data-line]", { hasText: "operated.example" }).click();
  await page.getByRole("button", { name: "End session" }).click();
  const dialog = page.getByRole("dialog", { name: "End session" });
  await dialog.getByLabel("Reason").fill("by test");
  await dialog.getByRole("button", { name: "End session" }).click();
  await client.ended();
  await page.goto(new URL("#/sessions?show=ended&dest=operated.example", world.proxy.page).href);
  await page.locator("[data-line]").first().click();
  const drawer = page.getByRole("dialog", { name: "Session", exact: true });
  await shows(drawer, /olga.*by test/);
  await shows(page.locator(".visitor"), "operator");
});

test("who may only read is offered nothing that ends sessions, and is refused it", async () => {
  const client = await world.session("read.example");
  const { page } = await world.open("#/sessions");
  await logIn(page, "rita", "reads");
  await page.locator("[data-line]", { hasText: "read.example" }).click();
  await page.getByRole("dialog", { name: "Session", exact: true }).waitFor();
  await shows(page.locator(".visitor"), "read only");
  expect(await ending(page)).toBe(0);
  const status = await page.evaluate(async () => {
    const session = await (await fetch("api/auth/session")).json();
    const headers = { "X-CSRF-Token": session.csrf_token, "Content-Type": "application/json" };
    const asked = { method: "POST", headers, body: '{"all":true}' };
    return (await fetch("api/sessions/terminate", asked)).status;
  });
  expect(status).toBe(403);
  await client.echo(10);
  await world.clear().then((faults) => expect(faults.filter((one) => !/40[13]/.test(one))).toEqual([]));
});

test("a login that ends while the page is open leads back to where the visitor was", async () => {
  await world.session("still.example");
  const { page } = await world.open("#/sessions?q=still");
  await logIn(page, "rita", "reads");
  const row = page.locator("[data-line]", { hasText: "still.example" });
  await row.waitFor();
  await page.context().clearCookies();
  await page.getByRole("link", { name: "Users" }).click();
  await page.getByText("Your login has ended").waitFor();
  expect(await page.getByRole("main").innerText()).not.toContain("still.example");
  await page.goBack();
  await logIn(page, "rita", "reads");
  await row.waitFor();
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByRole("form", { name: "Log in" }).waitFor();
  const cookies = await page.context().cookies();
  expect(cookies.filter((cookie) => cookie.name === "rustsocks_session" && cookie.value !== "")).toEqual([]);
});

test("too many wrong passwords are told, with the time until the next try", async () => {
  const wrong = (): Promise<Response> =>
    fetch(new URL("api/auth/login", world.proxy.page), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: '{"username":"olga","password":"guess"}',
    });
  const { page } = await world.open();
  const told = page
    .getByRole("alert")
    .filter({ hasText: /Too many tries\. The next one is possible in \d+ s\./ });
  const button = page.getByRole("button", { name: "Log in" });
  // The next try is possible after a few seconds: a slow machine may miss them, and does it again.
  await until("a refusal in the page", async () => {
    while ((await wrong()).status !== 429);
    const answer = page.waitForResponse(/api\/auth\/login/);
    await logIn(page, "olga", "guess again");
    if ((await answer).status() !== 429) return false;
    const isTold = await told.waitFor({ timeout: 2_000 }).then(
      () => true,
      () => false,
    );
    return isTold && (await button.isDisabled());
  });
});
