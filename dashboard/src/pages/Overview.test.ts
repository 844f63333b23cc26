import { expect, test } from "vitest";
import { example } from "../example";
import { makeRow } from "../live";
import { parseHash } from "../routes";
import { destinationLink } from "./Overview";
import { passes, readFilter, tests, toQuery } from "./sessions/filter";

test.each([
  [
    "example.com:443",
    { dest_host: "example.com", dest_port: 443 },
    { dest_host: "example.com", dest_port: 80 },
  ],
  [
    "[2001:db8::1]:443",
    { dest_host: null, dest_ip: "2001:db8::1" },
    { dest_host: null, dest_ip: "2001:db8::2" },
  ],
])("the way to %s leads to the sessions behind it and to no other port", (dest, own, other) => {
  const filter = readFilter(parseHash(destinationLink(dest, 24)).params);
  const finds = (changes: object): boolean =>
    passes(
      makeRow(example({ source_port: 44_300, ...changes })),
      tests(filter, Date.parse(example().start_time)),
    );
  expect(finds(own)).toBe(true);
  expect(finds(other)).toBe(false);
  expect(toQuery(filter), "the server looks for the host").toMatchObject({
    hours: 24,
    dest: /[^[\]]+?(?=]?:443)/.exec(dest)?.[0],
  });
});
