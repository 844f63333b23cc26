import { expect, test } from "vitest";
import { example } from "../../example";
import { FILE_COLUMNS, toCsv, toNdjson } from "./file";

test("a file has every field of a session", () => {
  expect([...FILE_COLUMNS].sort()).toEqual(Object.keys(example()).sort());
});

test("a name cannot break out of its field", () => {
  const [head, ...rest] = toCsv([example({ user: 'a"b,c\r\nd' })]).split("\r\n01");
  expect(head).toBe(FILE_COLUMNS.join(","));
  expect(rest.join("")).toContain(',"a""b,c\r\nd",');
});

test("lines of JSON can be read back", () => {
  const text = toNdjson([example({ user: "a\nb" }), example()]);
  expect(
    text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line)),
  ).toEqual([example({ user: "a\nb" }), example()]);
});
