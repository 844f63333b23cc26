// Rows in the order and choice of the visitor.
//
// The order of all rows is kept from one look to the next: sorting what is nearly sorted is quick, and
// a letter typed into the filter needs no sorting at all.
import type { Row } from "../../live";
import { type WordIndex, wordsOf } from "../../words";
import { type Filter, passes, type Test, tests } from "./filter";
import { comparison, type Sort } from "./order";

/** To look through the index is worth it for more than one row in so many. */
const INDEX_WORTH = 4;

/** What was chosen from the present arrangement. */
interface Choice {
  words: readonly string[];
  conditions: string;
  chosen: Row[];
}

export class RowView {
  #ordered: Row[];
  #fresh: Row[] = [];
  #sort: Sort | null = null;
  readonly #live: boolean;
  readonly #words: WordIndex | null;
  #last: Choice | null = null;

  /**
   * `live` tells that rows leave: those that are out of the store are dropped. `words` is an index of
   * the rows, where there are so many that it is worth one.
   */
  constructor(rows: readonly Row[], live: boolean, words: WordIndex | null = null) {
    this.#ordered = [...rows];
    this.#live = live;
    this.#words = words;
  }

  /** A row that came. */
  add(row: Row): void {
    this.#fresh.push(row);
  }

  /** Takes in what came and went, and sorts; null keeps the order in which rows were given. */
  arrange(sort: Sort | null, now: number): void {
    // What came last is first where the newest are wanted first.
    const newestFirst = sort?.key === "start_time" && sort.down;
    const fresh = newestFirst ? this.#fresh.reverse() : this.#fresh;
    this.#fresh = [];
    const kept: Row[] = [];
    for (const part of newestFirst ? [fresh, this.#ordered] : [this.#ordered, fresh]) {
      for (const row of part) if (!this.#live || row.place >= 0) kept.push(row);
    }
    this.#ordered = kept;
    this.#last = null;
    this.#sort = sort;
    if (sort === null) return;
    const compare = comparison(sort.key, now);
    kept.sort(sort.down ? (left, right) => compare(right, left) : compare);
  }

  /** Whether the rows are in this order. */
  isArranged(sort: Sort | null): boolean {
    return this.#sort?.key === sort?.key && this.#sort?.down === sort?.down;
  }

  /**
   * The rows that pass, in order. Where the last text goes on, as when a letter is typed, only the rows that
   * passed are looked at: what a row's changes since then bring about shows with the next arrangement.
   */
  choose(filter: Filter, now: number): Row[] {
    const words = wordsOf(filter.text);
    const conditions = JSON.stringify(filter.conditions);
    const last = this.#last;
    const goesOn = last !== null && last.conditions === conditions && isNarrower(words, last.words);
    const from = goesOn ? last.chosen : this.#ordered;
    const chosen = this.#pass(from, this.#tests(filter, words, from, now));
    this.#last = { words, conditions, chosen };
    return chosen;
  }

  #tests(filter: Filter, words: readonly string[], from: readonly Row[], now: number): Test[] {
    const few = from.length * INDEX_WORTH < this.#ordered.length;
    if (this.#words === null || words.length === 0 || few) return tests(filter, now);
    const { has, all } = this.#words.find(words);
    const others = tests({ ...filter, text: "" }, now);
    return all ? others : [has, ...others];
  }

  #pass(from: Row[], all: readonly Test[]): Row[] {
    const [first, ...others] = all;
    if (first === undefined) return from;
    const chosen: Row[] = [];
    for (const row of from) if (first(row) && passes(row, others)) chosen.push(row);
    return chosen;
  }
}

/** Whether rows that have all of these words have all the former ones too. */
function isNarrower(words: readonly string[], former: readonly string[]): boolean {
  return former.every((known) => words.some((word) => word.includes(known)));
}

/** A copy of the rows as they are now, for a view that is paused. */
export function freeze(rows: readonly Row[]): Row[] {
  return rows.map((row) => ({ ...row }));
}
