import { describe, expect, test } from "vitest";
import { byteRate, bytes, duration, endpoint, perSecond, share, splitEndpoint, utc, visible } from "./format";

describe("values as people read them", () => {
  test.each([
    [0, "0 B"],
    [1, "1 B"],
    [1023, "1023 B"],
    [1024, "1.00 KiB"],
    [1536, "1.50 KiB"],
    [10_240, "10.0 KiB"],
    [1_048_575, "1.00 MiB"],
    [245_366_784, "234 MiB"],
    [2 ** 40, "1.00 TiB"],
    [2 ** 60, "1024 PiB"],
    [-5, "0 B"],
  ])("%d bytes are %s", (count, written) => expect(bytes(count)).toBe(written));

  test("a rate is bytes in a second", () => expect(byteRate(2048)).toBe("2.00 KiB/s"));

  test.each([
    [0, "0 ms"],
    [999, "999 ms"],
    [1_000, "1.0 s"],
    [9_949, "9.9 s"],
    [9_950, "10 s"],
    [59_499, "59 s"],
    [59_500, "1m 00s"],
    [306_000, "5m 06s"],
    [3_599_500, "1h 00m"],
    [7_500_000, "2h 05m"],
    [86_400_000, "1d 00h"],
    [273_600_000, "3d 04h"],
  ])("%d ms last %s", (ms, written) => expect(duration(ms)).toBe(written));

  test.each([
    [0, "0"],
    [0.004, "0"],
    [0.25, "0.25"],
    [6, "6"],
    [12.34, "12.3"],
    [120, "120"],
  ])("%d per second is %s", (value, written) => expect(perSecond(value)).toBe(written));

  test.each([
    [0, 10, "0 %"],
    [1, 0, "0 %"],
    [1, 1000, "<1 %"],
    [37, 100, "37 %"],
  ])("%d of %d is %s", (part, whole, written) => expect(share(part, whole)).toBe(written));

  test("UTC keeps the milliseconds that the ledger has", () =>
    expect(utc(Date.UTC(2026, 0, 2, 3, 4, 5, 678))).toBe("2026-01-02 03:04:05.678 UTC"));
});

describe("names from outside cannot disguise themselves", () => {
  test.each([
    ["alice", "alice"],
    ["<b>mallory</b>", "<b>mallory</b>"],
    ["two\nlines\r\tand", "two\\nlines\\r\\tand"],
    ["\u202eevil", "\\u{202e}evil"],
    ["a\u2066b\u200bc", "a\\u{2066}b\\u{200b}c"],
    ["\u0000\u001b[31m", "\\u{0}\\u{1b}[31m"],
    ["\ud800", "\\u{d800}"],
    ["😀 emoji", "😀 emoji"],
    ["👩\u200d💻", "👩\u200d💻"],
    ["שלום", "שלום"],
  ])("%j is shown as %j", (text, shown) => expect(visible(text)).toBe(shown));
});

describe("a destination is a host and a port", () => {
  test.each([
    ["example.com", 443, "example.com:443"],
    ["192.0.2.1", 80, "192.0.2.1:80"],
    ["2001:db8::1", 443, "[2001:db8::1]:443"],
  ])("%s and %d are %s, and back", (host, port, written) => {
    expect(endpoint(host, port)).toBe(written);
    expect(splitEndpoint(written)).toEqual({ host, port });
  });

  test.each(["no port", "host:99999", ""])("%j is none", (text) => expect(splitEndpoint(text)).toBeNull());
});
