import { describe, expect, test } from "vitest";
import type { Session } from "../../api/session";
import { example } from "../../example";
import { makeRow } from "../../live";
import { hashOf, parseHash } from "../../routes";
import {
  CONDITIONS,
  type Filter,
  forRunning,
  passes,
  readFilter,
  serverKnows,
  startedBefore,
  tests,
  toQuery,
  writeFilter,
} from "./filter";

const NOW = Date.parse("2026-01-02T04:00:00Z");
const filter = (conditions: Filter["conditions"], text = ""): Filter => ({ text, conditions });
const finds = (wanted: Filter, changes: Partial<Session> = {}): boolean =>
  passes(makeRow(example(changes)), tests(wanted, NOW));

describe("the filter", () => {
  test("comes back from the URL as it went in, hostile names included", () => {
    const hostile = 'a&b=c#d?e/f%20"<b>\u202e\n😀';
    const full: Filter = {
      text: hostile,
      conditions: {
        user: hostile,
        dest: "2001:db8::1",
        source_ip: "198.51.100.7",
        status: "failed",
        close_reason: "connect_refused",
        protocol: "udp",
        start_after: "2026-01-02T03:04:05.000Z",
        start_before: "2026-01-03T03:04:05.000Z",
        hours: "24",
        at: "2026-01-02T12:00:00.000Z",
        min_bytes: "1048576",
        min_duration_secs: "60",
        dest_ip: "192.0.2.1",
        egress_ip: "203.0.113.5",
        egress_port: "40000",
        node: "gateway-1",
      },
    };
    expect(Object.keys(full.conditions).sort()).toEqual([...CONDITIONS].sort());
    const { page, params } = parseHash(hashOf("sessions", writeFilter(full)));
    expect(page).toBe("sessions");
    expect(readFilter(params)).toEqual(full);
  });

  test("drops words that no session can have", () => {
    const params = new URLSearchParams("status=odd&close_reason=odd&protocol=odd&user=alice");
    expect(readFilter(params)).toEqual(filter({ user: "alice" }));
  });

  test.each<[string, Filter, Partial<Session>, boolean]>([
    ["a user by the whole name", filter({ user: "alice" }), {}, true],
    ["no user by a part of it", filter({ user: "ali" }), {}, false],
    ["a destination in any case", filter({ dest: "Example.COM" }), {}, true],
    ["a destination by its address", filter({ dest: "192.0.2.1" }), {}, true],
    ["what is large enough", filter({ min_bytes: "10" }), { bytes_sent: 4, bytes_received: 6 }, true],
    ["not what is smaller", filter({ min_bytes: "11" }), { bytes_sent: 4, bytes_received: 6 }, false],
    ["what runs long enough", filter({ min_duration_secs: "3355" }), {}, true],
    ["not what is younger", filter({ min_duration_secs: "3356" }), {}, false],
    ["what started lately", filter({ hours: "1" }), {}, true],
    ["not what started before", filter({ hours: "0.5" }), {}, false],
    ["what started at the very time", filter({ start_after: "2026-01-02T03:04:05Z" }), {}, true],
    ["not what started then, before it", filter({ start_before: "2026-01-02T03:04:05Z" }), {}, false],
    ["what ran at a time", filter({ at: "2026-01-02T03:30:00Z" }), {}, true],
    [
      "not what had ended",
      filter({ at: "2026-01-02T03:30:00Z" }),
      { end_time: "2026-01-02T03:20:00Z" },
      false,
    ],
    ["text in any field, in any case", filter({}, "EXAMPLE"), {}, true],
    ["all words of a text, in any order", filter({}, "443 ali"), {}, true],
    ["nothing where a word is missing", filter({}, "alice nowhere"), {}, false],
    ["text with markup", filter({}, "<b>"), { user: "<b>mallory</b>" }, true],
  ])("finds %s", (_what, wanted, changes, found) => expect(finds(wanted, changes)).toBe(found));

  test("asks the server for what it says, in the server's types", () => {
    const query = toQuery(
      filter({ user: "alice", hours: "24", min_bytes: "1e3", egress_port: "x", status: "failed" }, "text"),
    );
    expect(query).toEqual({ user: "alice", hours: 24, min_bytes: 1000, status: "failed" });
  });

  test("is bound by the earlier of two times", () => {
    const [early, late] = ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.001+00:00"];
    expect(startedBefore({ user: "a" }, late)).toEqual({ user: "a", start_before: late });
    expect(startedBefore({ start_before: early }, late)).toEqual({ start_before: early });
    expect(startedBefore({ start_before: late }, early)).toEqual({ start_before: early });
    expect(startedBefore({ user: "a" }, null)).toEqual({ user: "a" });
  });

  test("is not left to the server where the server knows less", () => {
    expect(serverKnows(filter({ user: "alice" }))).toBe(true);
    expect(serverKnows(filter({ user: "alice" }, "text"))).toBe(false);
    expect(serverKnows(filter({ min_duration_secs: "60" }))).toBe(false);
  });

  test("says nothing about endings of running sessions", () => {
    expect(forRunning(filter({ status: "failed", close_reason: "idle_timeout", user: "a" }))).toEqual(
      filter({ user: "a" }),
    );
  });
});
