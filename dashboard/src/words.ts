// Finds words in the texts of many rows. Neighbours' texts are kept as one: to look through one long
// text is several times as quick as to look through each.
import type { Row } from "./live";

/** Rows whose texts are one. */
const TOGETHER = 128;

interface Block {
  text: string;
  /** Where each row's text ends. */
  ends: Uint32Array;
}

/** What is looked for: words without white space, in lower case. */
export function wordsOf(text: string): string[] {
  return text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "");
}

/** The texts of rows that stand at their `place` in a list. */
export class WordIndex {
  readonly #rows: readonly Row[];
  #blocks: (Block | undefined)[] = [];
  /** Blocks whose rows are others now. */
  readonly #stale = new Set<number>();
  #used = false;

  constructor(rows: readonly Row[]) {
    this.#rows = rows;
  }

  /** Something will be looked for soon. */
  prepare(): void {
    if (!this.#used) {
      this.#used = true;
      for (let at = 0; at * TOGETHER < this.#rows.length; at += 1) this.#stale.add(at);
    }
    this.refresh();
  }

  /** Another row stands at this place, or its text changed. */
  touch(place: number): void {
    if (this.#used) this.#stale.add(Math.floor(place / TOGETHER));
  }

  /** Reads changed texts, so many blocks at most. */
  refresh(most = Number.POSITIVE_INFINITY): void {
    let left = most;
    for (const at of this.#stale) {
      if (left <= 0) return;
      left -= 1;
      this.#stale.delete(at);
      this.#blocks[at] = this.#read(at);
    }
  }

  #read(at: number): Block {
    const rows = this.#rows.slice(at * TOGETHER, (at + 1) * TOGETHER);
    const ends = new Uint32Array(rows.length);
    let end = 0;
    rows.forEach((row, index) => {
      // No word holds the line's end that stands between two rows.
      end += row.text.length + 1;
      ends[index] = end;
    });
    return { text: rows.map((row) => row.text).join("\n"), ends };
  }

  /** Tells for a place whether the row there has all the words. */
  find(words: readonly string[]): (place: number) => boolean {
    this.prepare();
    const found = new Uint8Array(this.#blocks.length * TOGETHER);
    words.forEach((word, turn) => {
      this.#blocks.forEach((block, at) => {
        if (block !== undefined) mark(block, word, found.subarray(at * TOGETHER), turn);
      });
    });
    return (place) => found[place] === words.length;
  }

  /** Forgets everything. */
  clear(): void {
    this.#blocks = [];
    this.#stale.clear();
    this.#used = false;
  }
}

/** Notes which rows have the word and those before it, of which there were `turn`. */
function mark({ text, ends }: Block, word: string, found: Uint8Array, turn: number): void {
  let row = 0;
  for (let at = text.indexOf(word); at >= 0; ) {
    while ((ends[row] ?? text.length) <= at) row += 1;
    if (found[row] === turn) found[row] = turn + 1;
    at = text.indexOf(word, ends[row]);
  }
}
