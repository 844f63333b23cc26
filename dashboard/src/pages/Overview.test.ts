import { expect, test } from "vitest";
import type { Health } from "../api/server";
import { example } from "../example";
import { makeRow } from "../live";
import { parseHash } from "../routes";
import { destinationLink, verdict } from "./Overview";
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

const HEALTH: Health = {
  status: "ok",
  version: "0.10.0",
  uptime_secs: 1,
  active_sessions: 0,
  storage: { engine: "sqlite", status: "ok", batches: 1, failures: 0 },
  journal: {
    status: "ok",
    bytes: 0,
    max_bytes: 1,
    queued: 0,
    unsaved: 0,
    spilled: 0,
    lost: 0,
    unreadable: 0,
    replaying: false,
  },
};

test.each<[string, Partial<Health["journal"]>, Partial<Health>, ReturnType<typeof verdict>]>([
  ["all is well", {}, {}, { good: true, text: "Every session is recorded." }],
  ["sessions are lost", { lost: 3 }, {}, { good: false, text: "3 sessions are not recorded, nor will be." }],
  [
    "the server minds",
    { lost: 1 },
    { status: "degraded" },
    { good: false, text: "1 session is not recorded, nor will be." },
  ],
  ["the store fails", {}, { status: "degraded" }, { good: false, text: "Something needs an operator." }],
])("the ledger's verdict where %s", (_what, journal, health, found) => {
  expect(verdict({ ...HEALTH, ...health, journal: { ...HEALTH.journal, ...journal } })).toEqual(found);
});
