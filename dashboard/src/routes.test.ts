import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { go, hashOf, PAGES, parseHash, route, setParams } from "./routes";

describe("places", () => {
  test.each(PAGES)("%s has an address that leads back to it", (page) =>
    expect(parseHash(hashOf(page)).page).toBe(page),
  );

  test.each(["", "#", "#/", "#/nowhere", "#sideways?x=1"])("%j is the overview", (hash) =>
    expect(parseHash(hash).page).toBe("overview"),
  );

  test("parameters that are empty are left out", () =>
    expect(hashOf("users", { user: "", window: "6" })).toBe("#/users?window=6"));
});

describe("what is typed", () => {
  beforeEach(() => {
    vi.useFakeTimers();
    go("#/sessions");
  });
  afterEach(() => vi.useRealTimers());
  const type = (text: string): void => setParams({ q: text }, "typed");

  test("counts at once, and stands in the address once typing rests", () => {
    type("a");
    type("al");
    expect(route.value.params.get("q")).toBe("al");
    expect(location.hash).toBe("#/sessions");
    vi.runAllTimers();
    expect(location.hash).toBe("#/sessions?q=al");
  });

  test("stands in the address before another step is made, or a link is followed", () => {
    const steps = history.length;
    type("a");
    window.dispatchEvent(new MouseEvent("click"));
    expect(location.hash).toBe("#/sessions?q=a");
    type("al");
    setParams({ session: "1" }, "push");
    expect(location.hash).toBe("#/sessions?q=al&session=1");
    expect(history.length).toBe(steps + 1);
    vi.runAllTimers();
    expect(location.hash).toBe("#/sessions?q=al&session=1");
  });

  test("goes into the address with what else is changed", () => {
    type("a");
    setParams({ sort: "user" });
    expect(location.hash).toBe("#/sessions?q=a&sort=user");
    type("");
    type("a");
    vi.runAllTimers();
    expect(location.hash).toBe("#/sessions?sort=user&q=a");
  });
});
