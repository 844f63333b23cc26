import { describe, expect, test } from "vitest";
import { example } from "../../example";
import { LiveStore, makeRow } from "../../live";
import { WordIndex } from "../../words";
import { group, lines } from "./group";
import { parseSort, SORT_KEYS, sortText } from "./order";
import { freeze, RowView } from "./view";

const NOW = Date.parse("2026-01-02T04:00:00Z");
const NONE = { text: "", conditions: {} };
const row = (id: string, user: string, sent: number, second = 5) =>
  makeRow(
    example({ session_id: id, user, bytes_sent: sent, start_time: `2026-01-02T03:04:0${second}.000+00:00` }),
  );
const names = (rows: readonly { session: { session_id: string } }[]) =>
  rows.map((one) => one.session.session_id);

describe("the order of rows", () => {
  test.each(
    SORT_KEYS.flatMap((key) => [
      { key, down: true },
      { key, down: false },
    ]),
  )("$key, down: $down, goes through the URL", (sort) => expect(parseSort(sortText(sort))).toEqual(sort));

  test("an unknown order is none", () => expect(parseSort("-sideways")).toBeNull());

  test("sorts, and keeps the order as rows come and go", () => {
    const store = new LiveStore();
    store.put("opened", example({ session_id: "a", bytes_sent: 1 }));
    store.put("opened", example({ session_id: "b", bytes_sent: 3 }));
    const view = new RowView(store.rows, true);
    store.onAdded((added) => view.add(added));
    view.arrange({ key: "bytes_sent", down: true }, NOW);
    expect(names(view.choose(NONE, NOW))).toEqual(["b", "a"]);
    store.put("opened", example({ session_id: "c", bytes_sent: 2 }));
    store.put("ended", example({ session_id: "b", status: "closed", end_time: "2026-01-02T03:05:00Z" }));
    store.sweep(Number.POSITIVE_INFINITY);
    view.arrange({ key: "bytes_sent", down: true }, NOW);
    expect(names(view.choose(NONE, NOW))).toEqual(["c", "a"]);
  });

  test("the newest come first where the newest are wanted", () => {
    const view = new RowView([row("old", "a", 0, 1)], false);
    view.add(row("newer", "a", 0, 2));
    view.add(row("newest", "a", 0, 3));
    view.arrange({ key: "start_time", down: true }, NOW);
    expect(names(view.choose(NONE, NOW))).toEqual(["newest", "newer", "old"]);
  });

  test("a text that goes on finds what it would find at once, and so does one that is another", () => {
    const users = Array.from({ length: 300 }, (_, number) => `user-${number}`);
    const rows = users.map((user, number) => row(user, user, number));
    const view = new RowView(rows, false, new WordIndex(rows));
    view.arrange({ key: "bytes_sent", down: true }, NOW);
    const texts = [
      "u",
      "user-1",
      "user-12",
      "user-12 2",
      "user-12 29",
      "er-12 129",
      "user-2",
      "user-2 tcp",
      "",
    ];
    for (const text of texts) {
      for (const conditions of [{}, { min_bytes: "100" }]) {
        const fresh = new RowView(rows, false);
        fresh.arrange({ key: "bytes_sent", down: true }, NOW);
        const wanted = names(fresh.choose({ text, conditions }, NOW));
        expect(names(view.choose({ text, conditions }, NOW)), text).toEqual(wanted);
        expect(wanted.length).toBeGreaterThan(0);
      }
    }
  });

  test("rows that came since are found after the next arrangement", () => {
    const rows = ["user-1", "user-12"].map((user) => row(user, user, 0));
    const view = new RowView(rows, false);
    view.arrange(null, NOW);
    expect(names(view.choose({ ...NONE, text: "user" }, NOW))).toEqual(["user-1", "user-12"]);
    view.add(row("user-13", "user-13", 0));
    expect(names(view.choose({ ...NONE, text: "user-1" }, NOW))).toEqual(["user-1", "user-12"]);
    view.arrange(null, NOW);
    expect(names(view.choose({ ...NONE, text: "user-1" }, NOW))).toEqual(["user-1", "user-12", "user-13"]);
  });

  test("a paused view does not change while its sessions go on", () => {
    const store = new LiveStore();
    store.put("opened", example({ bytes_sent: 1 }));
    const frozen = freeze(store.rows);
    store.put("updated", example({ bytes_sent: 2, updated_at: "2026-01-02T03:04:09.000+00:00" }));
    expect(frozen[0]?.session.bytes_sent).toBe(1);
    expect(store.rows[0]?.session.bytes_sent).toBe(2);
  });
});

describe("groups", () => {
  const rows = [row("1", "alice", 10), row("2", "bob", 50), row("3", "alice", 20), row("4", "", 1)];

  test("have the sums of their sessions, the most sessions first", () => {
    const found = group(rows, "user", { key: "start_time", down: true }, NOW);
    expect(
      group(rows, "user", null, NOW).map(({ key, sent, rows: list }) => [key, list.length, sent]),
    ).toEqual([
      ["alice", 2, 30],
      ["", 1, 1],
      ["bob", 1, 50],
    ]);
    expect(found).toHaveLength(3);
  });

  test("are sorted by a sum where sessions are sorted by what is summed", () => {
    const sorted = group(rows, "user", { key: "bytes_sent", down: true }, NOW);
    expect(sorted.map(({ key }) => key)).toEqual(["bob", "alice", ""]);
    const turned = group(rows, "user", { key: "bytes_sent", down: false }, NOW);
    expect(turned.map(({ key }) => key)).toEqual(["", "alice", "bob"]);
  });

  test("show their sessions where they are open", () => {
    const shown = lines(group(rows, "user", null, NOW), new Set(["alice"]));
    expect(
      shown.map((line) => (line.kind === "group" ? line.group.key : line.row.session.session_id)),
    ).toEqual(["alice", "1", "3", "", "bob"]);
  });
});
