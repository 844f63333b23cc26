import { describe, expect, test } from "vitest";
import { hashOf, PAGES, parseHash } from "./routes";

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
