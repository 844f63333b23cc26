// The long table: only the lines in view are elements. Arrow keys move, Enter opens.
//
// While it is scrolled, a line that stays in view costs next to nothing: its cells are made anew only
// when its session changed, and its element has no listener and no style of its own but its place.
import { elementScroll, observeElementOffset, observeElementRect, Virtualizer } from "@tanstack/virtual-core";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { destination } from "../../api/session";
import { byteRate, bytes, endpoint, things } from "../../format";
import { live, type Row } from "../../live";
import { usePageKeys } from "../../parts/keys";
import { Bytes, Lasted, Name, State } from "../../parts/Text";
import { isNarrow } from "../../parts/theme";
import { Cell, type Column, type ColumnShape, rateOf, shapeOf } from "./columns";
import type { Group, Line } from "./group";
import type { Sort, SortKey } from "./order";
import { busy } from "./running";

const LINE_HEIGHT = 32;
const CARD_HEIGHT = 60;
/** As in the style sheet, pixels. */
const GAP = 12;
const PADDING = 16;

export interface TableProps {
  label: string;
  lines: { length: number; at: (index: number) => Line | undefined };
  columns: readonly Column[];
  sort: Sort | null;
  /** Whether the list can be put in this order. */
  canSort: (key: SortKey) => boolean;
  onSort: (key: SortKey) => void;
  onOpen: (id: string) => void;
  onToggle: (group: Group) => void;
  /** The session in the drawer. */
  opened: string | null;
  /** Called when the end comes near. */
  onEnd?: () => void;
}

/**
 * Lines come and go by so many at once. That is as high as the tiles in which browsers draw a page
 * without a GPU, so none is drawn several times, and most frames of scrolling change no element.
 */
const TOGETHER = 8;

/** Which blocks of lines are elements: those in view, with one before and one after them. */
function around({ startIndex, endIndex }: { startIndex: number; endIndex: number }): [number, number] {
  return [startIndex - 1, endIndex + 2];
}

/**
 * The virtualizer for a list of equal lines, and what redraws it. It knows of blocks only: it measures each
 * of its items again whenever their number changes, which it does with each letter of a filter.
 */
function useLines(count: number, height: number) {
  const scroller = useRef<HTMLDivElement>(null);
  const [, redraw] = useState("");
  const block = height * TOGETHER;
  const blocks = Math.ceil(count / TOGETHER);
  const [list] = useState(
    () =>
      new Virtualizer<HTMLDivElement, Element>({
        count: blocks,
        getScrollElement: () => scroller.current,
        estimateSize: () => block,
        rangeExtractor: (range) => {
          const [from, to] = around(range);
          const first = Math.max(0, from);
          return Array.from({ length: Math.min(range.count, to) - first }, (_, index) => first + index);
        },
        scrollToFn: elementScroll,
        observeElementRect,
        observeElementOffset,
        onChange: ({ isScrolling, range }) => {
          if (isScrolling) busy();
          redraw(range === null ? "" : around(range).join());
        },
      }),
  );
  list.setOptions({ ...list.options, count: blocks, estimateSize: () => block });
  useLayoutEffect(() => list._didMount(), [list]);
  useLayoutEffect(() => list._willUpdate());
  // Another height is the reason to measure.
  useLayoutEffect(() => list.measure(), [height, list]);
  const shown = list.getVirtualItems();
  const first = (shown[0]?.index ?? 0) * TOGETHER;
  const end = Math.min(count, ((shown.at(-1)?.index ?? -1) + 1) * TOGETHER);
  return { scroller, first, end };
}

export function Table(props: TableProps) {
  // Rows are changed in place.
  live.version.value;
  const narrow = isNarrow.value;
  const height = narrow ? CARD_HEIGHT : LINE_HEIGHT;
  const { lines, columns, onEnd } = props;
  const { scroller, first, end } = useLines(lines.length, height);
  const [current, setCurrent] = useState(0);
  const wanted = useRef(-1);

  useEffect(() => {
    if (end > lines.length - 20) onEnd?.();
  }, [end, lines.length, onEnd]);

  const focusWanted = (): void => {
    if (wanted.current < 0) return;
    const element = scroller.current?.querySelector(`[data-line="${wanted.current}"]`);
    if (element instanceof HTMLElement) {
      element.focus({ preventScroll: true });
      wanted.current = -1;
    }
  };

  const move = (to: number): void => {
    const index = Math.max(0, Math.min(lines.length - 1, to));
    setCurrent(index);
    wanted.current = index;
    if (scroller.current !== null) bringIntoView(scroller.current, index * height, height);
    // Where nothing changes, nothing is drawn anew.
    focusWanted();
  };

  // The line that was moved to may not have been an element until now.
  useEffect(focusWanted);

  usePageKeys({
    next: () => move(document.activeElement?.closest("[data-line]") ? current + 1 : current),
    previous: () => move(current - 1),
  });

  const open = (line: Line | undefined): void => {
    if (line === undefined) return;
    if (line.kind === "row") props.onOpen(line.row.session.session_id);
    else props.onToggle(line.group);
  };

  const press = (event: KeyboardEvent): void => {
    const step = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 0) / height) - 2);
    const moves: Record<string, number> = {
      ArrowDown: current + 1,
      ArrowUp: current - 1,
      PageDown: current + step,
      PageUp: current - step,
      Home: 0,
      End: lines.length - 1,
    };
    const to = moves[event.key];
    if (to !== undefined) move(to);
    else if (event.key === "Enter" && event.target instanceof HTMLElement && event.target.dataset.line) {
      open(lines.at(current));
    } else return;
    event.preventDefault();
  };

  const shapes = useMemo(() => columns.map(shapeOf), [columns]);
  const least = narrow ? 0 : shapes.reduce((sum, shape) => sum + shape.least + GAP, 2 * PADDING);
  const focusable = Math.min(current, Math.max(0, lines.length - 1));
  const inView = focusable >= first && focusable < end;

  return (
    <div
      class={narrow ? "table cards" : "table"}
      role="table"
      aria-label={props.label}
      aria-rowcount={lines.length + 1}
      ref={scroller}
      style={{
        "--line-height": `${height}px`,
        "--columns": narrow ? "1fr" : shapes.map((shape) => shape.width).join(" "),
      }}
      onKeyDown={press}
      onClick={(event) => {
        const index = lineOf(event);
        if (index >= 0) open(lines.at(index));
      }}
      onFocusIn={(event) => {
        const index = lineOf(event);
        if (index >= 0) setCurrent(index);
      }}
    >
      <div class="table-head" role="rowgroup" style={{ minWidth: `${least}px` }}>
        <div class="line head" role="row" aria-rowindex={1}>
          {narrow ? (
            <span role="columnheader">Session</span>
          ) : (
            columns.map((column, index) => (
              <Head key={column} column={column} shape={shapes[index] ?? shapeOf(column)} props={props} />
            ))
          )}
        </div>
      </div>
      <div
        class="table-body"
        role="rowgroup"
        style={{ height: `${lines.length * height}px`, minWidth: `${least}px` }}
      >
        {Array.from({ length: end - first }, (_, at) => {
          const index = first + at;
          const line = lines.at(index);
          return (
            line !== undefined && (
              <LineOf
                key={index}
                index={index}
                line={line}
                top={index * height}
                columns={columns}
                shapes={shapes}
                narrow={narrow}
                reachable={index === (inView ? focusable : first)}
                chosen={line.kind === "row" && line.row.session.session_id === props.opened}
              />
            )
          );
        })}
      </div>
    </div>
  );
}

/** Scrolls no further than it takes to show a line whole, which stands below a head that stays in place. */
function bringIntoView(scroller: HTMLElement, top: number, height: number): void {
  const head = scroller.firstElementChild?.getBoundingClientRect().height ?? 0;
  const most = top + height + head - scroller.clientHeight;
  if (scroller.scrollTop > top) scroller.scrollTop = top;
  else if (scroller.scrollTop < most) scroller.scrollTop = most;
}

/** The number of the line in which something happened; -1 outside of all. */
function lineOf({ target }: Event): number {
  const line = target instanceof Element ? target.closest<HTMLElement>("[data-line]") : null;
  return Number(line?.dataset.line ?? -1);
}

interface LineProps {
  index: number;
  line: Line;
  /** Pixels from the beginning of the list. */
  top: number;
  columns: readonly Column[];
  shapes: readonly ColumnShape[];
  narrow: boolean;
  /** Whether Tab leads here. */
  reachable: boolean;
  chosen: boolean;
}

function LineOf({ index, line, top, columns, shapes, narrow, reachable, chosen }: LineProps) {
  const what = line.kind === "row" ? line.row : line.group;
  const state = line.kind === "row" ? line.row.session : line.open;
  const over = line.kind === "row" && line.row.endedAt !== 0;
  // The same elements again where nothing changed: Preact passes them over.
  const cells = useMemo(
    () =>
      line.kind === "group" ? (
        <GroupCells group={line.group} open={line.open} columns={narrow ? ["dest"] : columns} />
      ) : narrow ? (
        <Card line={line} />
      ) : (
        columns.map((column, at) => (
          <Cell key={column} column={column} row={line.row} fit={shapes[at]?.fit ?? "cut"} />
        ))
      ),
    [what, state, over, columns, shapes, narrow],
  );
  return (
    <div
      role="row"
      class={`line ${line.kind}${chosen ? " chosen" : ""}${over ? " over" : ""}`}
      aria-rowindex={index + 2}
      data-line={index}
      tabIndex={reachable ? 0 : -1}
      style={{ transform: `translateY(${top}px)` }}
    >
      {cells}
    </div>
  );
}

function Head({ column, shape, props }: { column: Column; shape: ColumnShape; props: TableProps }) {
  const { sort } = props;
  const key = shape.sort;
  const sorted = key !== undefined && sort?.key === key;
  const side = `cut ${shape.fit}`;
  if (key === undefined || !props.canSort(key)) {
    return (
      <div role="columnheader" class={side} key={column}>
        {shape.label}
      </div>
    );
  }
  return (
    <div
      role="columnheader"
      class={side}
      aria-sort={sorted ? (sort?.down ? "descending" : "ascending") : "none"}
    >
      <button type="button" class="bare" onClick={() => props.onSort(key)}>
        {shape.label}
        {sorted && <span aria-hidden="true">{sort?.down ? "↓" : "↑"}</span>}
      </button>
    </div>
  );
}

/** A group's cells: its name over the columns that have no sums, then the sums where their column is. */
function GroupCells({ group, open, columns }: { group: Group; open: boolean; columns: readonly Column[] }) {
  const first = columns.findIndex((column) => groupSum(column, group) !== "");
  const span = Math.max(1, first);
  return (
    <>
      <div role="cell" class="group-name" aria-colspan={span} style={{ gridColumn: `span ${span}` }}>
        <span class="arrow" aria-hidden="true">
          {open ? "▾" : "▸"}
        </span>
        <span class="quiet-text">{open ? "open group" : "closed group"}</span>
        <Name text={group.key} />
        <span class="quiet group-count">{things(group.rows.length, "session")}</span>
        {columns.length === 1 && <span class="quiet group-count">{bytes(group.sent + group.received)}</span>}
      </div>
      {columns.slice(span).map((column) => (
        <div role="cell" key={column} class={shapeOf(column).fit}>
          {groupSum(column, group)}
        </div>
      ))}
    </>
  );
}

function groupSum(column: Column, group: Group): string {
  if (column === "bytes_sent") return bytes(group.sent);
  if (column === "bytes_received") return bytes(group.received);
  if (column === "bytes") return bytes(group.sent + group.received);
  if (column === "rate") return group.rate === 0 ? "–" : byteRate(group.rate);
  return "";
}

/** A session on a phone: two lines instead of columns. */
function Card({ line }: { line: Extract<Line, { kind: "row" }> }) {
  const { row } = line;
  const { session } = row;
  return (
    <div role="cell" class="card">
      <div class="card-top">
        <Name text={session.user} empty="(unknown)" />
        <span class="quiet" aria-hidden="true">
          →
        </span>
        <Name text={endpoint(destination(session), session.dest_port)} />
      </div>
      <div class="card-low quiet">
        <State session={session} />
        <Lasted session={session} />
        <span>
          ↑ <Bytes count={session.bytes_sent} />
        </span>
        <span>
          ↓ <Bytes count={session.bytes_received} />
        </span>
        {session.end_time == null && <Rate row={row} />}
      </div>
    </div>
  );
}

function Rate({ row }: { row: Row }) {
  const { text, title, quiet } = rateOf(row);
  return (
    <span class={quiet ? "quiet" : ""} title={title}>
      {text}
    </span>
  );
}
