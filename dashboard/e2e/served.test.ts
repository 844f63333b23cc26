/** How the program serves the dashboard and the API browser, as a browser sees it. */

import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

import { until } from "./harness/until";
import { World } from "./harness/world";

let world: World;

beforeAll(async () => {
  world = await World.start('[sessions]\nbase_path = "/books/of"\nstorage = "memory"\n');
});
afterAll(() => world?.stop());
afterEach(async () => expect(await world.clear()).toEqual([]));

test("the dashboard works below a base path", async () => {
  expect(world.proxy.page).toMatch(/\/books\/of\/$/);
  const { page } = await world.open("#/sessions");
  await page.getByText("Live", { exact: true }).waitFor();
  await world.session("based.example");
  await page.getByText(`based.example:${world.target.port}`).first().waitFor();
  await page.goto(world.proxy.page.slice(0, -1));
  expect(page.url()).toBe(world.proxy.page);
  await page.getByText("Live", { exact: true }).waitFor();
});

test("what was loaded once is not loaded again", async () => {
  const { page } = await world.open();
  await page.getByText("Live", { exact: true }).waitFor();
  const sources: Record<string, string> = {};
  const asked: string[] = [];
  page.on("response", (response) => {
    const url = new URL(response.url());
    if (url.pathname.includes("/assets/") || url.pathname === "/books/of/") asked.push(url.pathname);
    sources[url.pathname] = `${response.status()}`;
  });
  // A second visit, not a reload: a browser asks again for what a reload names.
  await page.goto("about:blank");
  await page.goto(world.proxy.page);
  await page.getByText("Live", { exact: true }).waitFor();
  const transferred = await page.evaluate(() =>
    performance
      .getEntriesByType("resource")
      .filter((entry) => entry.name.includes("/assets/"))
      .map((entry) => (entry instanceof PerformanceResourceTiming ? entry.transferSize : -1)),
  );
  expect(transferred.length).toBeGreaterThan(0);
  expect(transferred.every((size) => size === 0)).toBe(true);
});

test("the API browser works without any network but the server", async () => {
  const described = Object(await world.proxy.get("api/openapi.json"));
  const methods = Object.values(described.paths).flatMap((path) => Object.keys(Object(path)));
  const operations = methods.filter((method) => ["get", "post", "put", "delete"].includes(method));
  expect(operations.length).toBeGreaterThan(10);
  const { page } = await world.open("swagger-ui/");
  await until("the operations", async () => (await page.locator(".opblock").count()) === operations.length);
  await page.locator(".opblock", { hasText: "/health" }).first().click();
  await page.getByRole("button", { name: "Execute" }).first().click();
  await page.locator(".responses-table.live-responses-table", { hasText: "200" }).first().waitFor();
});
