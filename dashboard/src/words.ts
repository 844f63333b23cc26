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

/** The rows that were found. */
export interface Found {
  /** Whether the row at this place is among them. */
  has: (place: number) => boolean;
  /** Whether all rows are. */
  all: boolean;
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

  constructor(rows: readonly Row[]) {
    this.#rows = rows;
    for (let place = 0; place < rows.length; place += TOGETHER) this.touch(place);
  }

  /** Another row stands at this place, or its text changed. */
  touch(place: number): void {
    this.#stale.add(Math.floor(place / TOGETHER));
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

  /** Looks for the words: a row is found that has all of them. */
  find(words: readonly string[]): Found {
    this.refresh();
    const marks = new Uint8Array(this.#blocks.length * TOGETHER);
    let count = this.#rows.length;
    for (const [turn, word] of words.entries()) {
      count = 0;
      for (const [at, block] of this.#blocks.entries()) {
        if (block !== undefined) count += mark(block, word, marks.subarray(at * TOGETHER), turn);
      }
    }
    return { has: (place) => marks[place] === words.length, all: count === this.#rows.length };
  }

  /** Forgets everything. */
  clear(): void {
    this.#blocks = [];
    this.#stale.clear();
  }
}

/** Notes which rows have the word and those before it, of which there were `turn`; gives their number. */
function mark({ text, ends }: Block, word: string, marks: Uint8Array, turn: number): number {
  let row = 0;
  let count = 0;
  for (let at = text.indexOf(word); at >= 0; ) {
    while ((ends[row] ?? text.length) <= at) row += 1;
    if (marks[row] === turn) {
      marks[row] = turn + 1;
      count += 1;
    }
    at = text.indexOf(word, ends[row]);
  }
  return count;
}
