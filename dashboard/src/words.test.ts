import { describe, expect, test } from "vitest";
import { example } from "./example";
import { LiveStore } from "./live";
import { WordIndex, wordsOf } from "./words";

const at = (second: number): string => `2026-01-02T03:04:${String(second).padStart(2, "0")}.000+00:00`;

/** A store of so many sessions, each of a user of its own. */
function store(count: number): LiveStore {
  const made = new LiveStore();
  for (let number = 0; number < count; number += 1) {
    made.put("opened", example({ session_id: `id-${number}`, user: `user-${number}` }));
  }
  return made;
}

/** The users in whose rows the words are found, and the same looked up row by row. */
function both(from: LiveStore, text: string): [string[], string[]] {
  const words = wordsOf(text);
  const found = from.words.find(words);
  const users = (passes: (row: LiveStore["rows"][number]) => boolean): string[] =>
    from.rows.filter(passes).map((row) => row.session.user);
  return [users((row) => found.has(row)), users((row) => words.every((word) => row.text.includes(word)))];
}

describe("looking for words", () => {
  test("what is looked for is split at white space, in lower case", () => {
    expect(wordsOf("  Alice\n443\tx ")).toEqual(["alice", "443", "x"]);
    expect(wordsOf(" ")).toEqual([]);
  });

  test.each(["user-1", "user-299", "user-12 id-12", "id-1 id-12", "-", "nobody", "user-1 nobody", ""])(
    "finds the rows whose texts have all of '%s'",
    (text) => {
      const [found, wanted] = both(store(300), text);
      expect(found).toEqual(wanted);
    },
  );

  test("tells when all rows are found", () => {
    const { words } = store(300);
    expect(words.find(["user-"]).all).toBe(true);
    expect(words.find(["user-", "id-1"]).all).toBe(false);
  });

  test("rows that come and go one after the other leave no room behind", () => {
    const [row] = store(1).rows;
    const index = new WordIndex();
    for (let turn = 0; row !== undefined && turn < 1_000; turn += 1) {
      index.add(row);
      index.remove(row);
    }
    expect(index.room).toBe(new WordIndex().room);
  });

  test("a word is not found across two rows", () => {
    const from = store(2);
    const [first, second] = from.rows.map((row) => row.text);
    expect(both(from, `${first?.slice(-3)}${second?.slice(0, 3)}`.replaceAll("\n", ""))[0]).toEqual([]);
  });

  test("knows of rows that came, went and changed since it looked last", () => {
    const from = store(300);
    from.put("opened", example({ session_id: "new", user: "newcomer" }));
    from.put("ended", example({ session_id: "id-7", user: "user-7", status: "closed", updated_at: at(9) }));
    from.put(
      "updated",
      example({ session_id: "id-9", user: "user-9", dest_ip: "192.0.2.77", updated_at: at(9) }),
    );
    expect(both(from, "newcomer")[0]).toEqual(["newcomer"]);
    expect(both(from, "closed")[0]).toEqual(["user-7"]);
    expect(both(from, "192.0.2.77")[0]).toEqual(["user-9"]);
    from.sweep(Number.POSITIVE_INFINITY);
    expect(both(from, "user-7 ")[0]).not.toContain("user-7");
    for (const text of ["user-", "newcomer", "id-7"]) {
      const [found, wanted] = both(from, text);
      expect(found).toEqual(wanted);
    }
  });

  test("rows that stay are found when most of those beside them have gone, and others came", () => {
    const from = store(1_000);
    const end = (number: number): void =>
      from.put(
        "ended",
        example({ session_id: `id-${number}`, user: `user-${number}`, status: "closed", updated_at: at(9) }),
      );
    for (let number = 0; number < 1_000; number += 1) if (number % 10 !== 0) end(number);
    from.sweep(Number.POSITIVE_INFINITY);
    for (let number = 0; number < 500; number += 1) {
      from.put("opened", example({ session_id: `late-${number}`, user: `later-${number}` }));
    }
    expect(from.rows).toHaveLength(600);
    expect(new Set(from.rows.map((row) => row.slot)).size).toBe(600);
    for (const text of ["user-", "user-990", "later-", "later-499 late-4", "er-1"]) {
      const [found, wanted] = both(from, text);
      expect(found).toEqual(wanted);
      expect(found.length).toBeGreaterThan(0);
    }
    expect(from.words.find(["er-"]).all).toBe(true);
    expect(from.words.find(["closed"]).all).toBe(false);
  });

  test("an index of no rows finds nothing", () => {
    const [row] = store(1).rows;
    expect(row && new WordIndex().find(["x"]).has({ ...row, slot: -1 })).toBe(false);
  });
});
