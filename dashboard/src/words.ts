// Finds words in the texts of many rows. Neighbours' texts are kept as one: to look through one long
// text is several times as quick as to look through each.
import type { Row } from "./live";

/** Rows whose texts are one. */
const TOGETHER = 128;

/** Rows that came one after the other. */
interface Block {
  /** One that left, or whose text changed, is null here. */
  rows: (Row | null)[];
  living: number;
  /** The texts as they were when there were enough of them; null until then. */
  joined: { text: string; ends: Uint32Array } | null;
}

/** The rows that were found. */
export interface Found {
  /** Whether the row is among them. */
  has: (row: Row) => boolean;
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

/**
 * The texts of rows. Texts that were joined stay as they are: what comes or changes goes to the end, and
 * the rest of a block that lost half of its rows goes there too. So one joining serves for many rows.
 */
export class WordIndex {
  #blocks: Block[] = [newBlock()];
  /** The block that takes rows. */
  #last = 0;
  /** Blocks without rows. */
  #free: number[] = [];
  #rows = 0;

  constructor(rows: readonly Row[] = []) {
    for (const row of rows) this.add(row);
  }

  add(row: Row): void {
    this.#rows += 1;
    this.#put(row);
  }

  remove(row: Row): void {
    this.#rows -= 1;
    this.#take(row);
  }

  /** The row's text is another now. */
  change(row: Row): void {
    this.#take(row);
    this.#put(row);
  }

  #put(row: Row): void {
    let block = this.#blocks[this.#last];
    if (block === undefined || block.rows.length === TOGETHER) {
      // One whose rows have all left begins anew where it is.
      if (block !== undefined && block.living > 0) {
        block.joined = join(block.rows);
        this.#last = this.#free.pop() ?? this.#blocks.length;
      }
      block = newBlock();
      this.#blocks[this.#last] = block;
    }
    row.slot = this.#last * TOGETHER + block.rows.length;
    block.rows.push(row);
    block.living += 1;
  }

  #take(row: Row): void {
    const at = Math.floor(row.slot / TOGETHER);
    const block = this.#blocks[at];
    if (block === undefined) return;
    block.rows[row.slot % TOGETHER] = null;
    block.living -= 1;
    row.slot = -1;
    if (at === this.#last || block.living > TOGETHER / 2) return;
    this.#blocks[at] = newBlock();
    this.#free.push(at);
    for (const left of block.rows) if (left !== null) this.#put(left);
  }

  /** Looks for the words: a row is found that has all of them. */
  find(words: readonly string[]): Found {
    const marks = new Uint8Array(this.#blocks.length * TOGETHER);
    let count = this.#rows;
    for (const [turn, word] of words.entries()) {
      count = 0;
      for (const [at, block] of this.#blocks.entries()) {
        if (block.living > 0) count += mark(block, word, marks.subarray(at * TOGETHER), turn);
      }
    }
    return { has: (row) => marks[row.slot] === words.length, all: count === this.#rows };
  }

  /** How many rows it has made room for, of which some may have left. */
  get room(): number {
    return this.#blocks.length * TOGETHER;
  }

  /** Forgets everything. */
  clear(): void {
    this.#blocks = [newBlock()];
    this.#last = 0;
    this.#free = [];
    this.#rows = 0;
  }
}

function newBlock(): Block {
  return { rows: [], living: 0, joined: null };
}

function join(rows: Block["rows"]): Block["joined"] {
  const ends = new Uint32Array(rows.length);
  let end = 0;
  rows.forEach((row, index) => {
    // No word holds the line's end that stands between two rows.
    end += (row?.text.length ?? 0) + 1;
    ends[index] = end;
  });
  return { text: rows.map((row) => row?.text ?? "").join("\n"), ends };
}

/** Notes which rows have the word and those before it, of which there were `turn`; gives their number. */
function mark({ rows, joined }: Block, word: string, marks: Uint8Array, turn: number): number {
  let count = 0;
  const found = (at: number): void => {
    if (marks[at] !== turn || rows[at] === null) return;
    marks[at] = turn + 1;
    count += 1;
  };
  if (joined === null) {
    for (const [at, row] of rows.entries()) if (row?.text.includes(word) === true) found(at);
    return count;
  }
  const { text, ends } = joined;
  let row = 0;
  for (let at = text.indexOf(word); at >= 0; ) {
    while ((ends[row] ?? text.length) <= at) row += 1;
    found(row);
    at = text.indexOf(word, ends[row]);
  }
  return count;
}
