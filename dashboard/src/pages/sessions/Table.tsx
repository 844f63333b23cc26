// The long table: only the lines in view are elements. Arrow keys move, Enter opens.
import { elementScroll, observeElementOffset, observeElementRect, Virtualizer } from "@tanstack/virtual-core";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { destination } from "../../api/session";
import { byteRate, bytes, endpoint, things } from "../../format";
import { pageKeys } from "../../parts/keys";
import { Bytes, Lasted, Name, State } from "../../parts/Text";
import { isNarrow } from "../../parts/theme";
import { type Column, cell, Rate, shapeOf } from "./columns";
import type { Group, Line } from "./group";
import type { Sort, SortKey } from "./order";

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

/** The virtualizer for a list of equal lines, and what redraws it. */
function useLines(count: number, height: number) {
  const scroller = useRef<HTMLDivElement>(null);
  const [, redraw] = useState(0);
  const [list] = useState(
    () =>
      new Virtualizer<HTMLDivElement, Element>({
        count,
        getScrollElement: () => scroller.current,
        estimateSize: () => height,
        overscan: 8,
        scrollToFn: elementScroll,
        observeElementRect,
        observeElementOffset,
        onChange: () => redraw((turns) => turns + 1),
      }),
  );
  list.setOptions({ ...list.options, count, estimateSize: () => height });
  useLayoutEffect(() => list._didMount(), [list]);
  useLayoutEffect(() => list._willUpdate());
  // Another height is the reason to measure.
  useLayoutEffect(() => list.measure(), [height, list]);
  return { scroller, list };
}

export function Table(props: TableProps) {
  const narrow = isNarrow.value;
  const height = narrow ? CARD_HEIGHT : LINE_HEIGHT;
  const { lines, onEnd } = props;
  const { scroller, list } = useLines(lines.length, height);
  const [current, setCurrent] = useState(0);
  const wanted = useRef(-1);
  const items = list.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;

  useEffect(() => {
    if (last >= lines.length - 20) onEnd?.();
  }, [last, lines.length, onEnd]);

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
    list.scrollToIndex(index);
    // Where nothing changes, nothing is drawn anew.
    focusWanted();
  };

  // The line that was moved to may not have been an element until now.
  useEffect(focusWanted);

  useEffect(() => {
    const before = pageKeys.peek();
    pageKeys.value = {
      ...before,
      next: () => move(document.activeElement?.closest("[data-line]") ? current + 1 : current),
      previous: () => move(current - 1),
    };
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

  const shapes = props.columns.map(shapeOf);
  const grid = narrow ? "1fr" : shapes.map((shape) => shape.width).join(" ");
  const least = narrow ? 0 : shapes.reduce((sum, shape) => sum + shape.least + GAP, 2 * PADDING);
  const focusable = Math.min(current, Math.max(0, lines.length - 1));
  const anyInView = items.some((item) => item.index === focusable);

  return (
    <div
      class={narrow ? "table cards" : "table"}
      role="table"
      aria-label={props.label}
      aria-rowcount={lines.length + 1}
      ref={scroller}
      onKeyDown={press}
    >
      <div class="table-head" role="rowgroup" style={{ minWidth: `${least}px` }}>
        <div class="line head" role="row" aria-rowindex={1} style={{ gridTemplateColumns: grid }}>
          {narrow ? (
            <span role="columnheader">Session</span>
          ) : (
            props.columns.map((column, index) => (
              <Head key={column} column={column} shape={shapes[index] ?? shapeOf(column)} props={props} />
            ))
          )}
        </div>
      </div>
      <div
        class="table-body"
        role="rowgroup"
        style={{ height: `${list.getTotalSize()}px`, minWidth: `${least}px` }}
      >
        {items.map((item) => {
          const line = lines.at(item.index);
          if (line === undefined) return null;
          const reachable = item.index === focusable || (!anyInView && item === items[0]);
          const chosen = line.kind === "row" && line.row.session.session_id === props.opened;
          return (
            // biome-ignore lint/a11y/useKeyWithClickEvents: the table listens for keys.
            <div
              key={item.key}
              role="row"
              class={`line ${line.kind}${chosen ? " chosen" : ""}${
                line.kind === "row" && line.row.endedAt !== 0 ? " over" : ""
              }`}
              aria-rowindex={item.index + 2}
              data-line={item.index}
              tabIndex={reachable ? 0 : -1}
              onFocus={() => setCurrent(item.index)}
              onClick={() => open(line)}
              style={{
                transform: `translateY(${item.start}px)`,
                height: `${height}px`,
                gridTemplateColumns: grid,
              }}
            >
              {line.kind === "group" ? (
                <GroupCells group={line.group} open={line.open} columns={narrow ? ["dest"] : props.columns} />
              ) : narrow ? (
                <Card line={line} />
              ) : (
                props.columns.map((column, index) => (
                  <div key={column} role="cell" class={shapes[index]?.right ? "right" : ""}>
                    {cell(column, line.row)}
                  </div>
                ))
              )}
            </div>
          );
        })}
      </div>
    </div>
  );
}

function Head({
  column,
  shape,
  props,
}: {
  column: Column;
  shape: ReturnType<typeof shapeOf>;
  props: TableProps;
}) {
  const { sort } = props;
  const key = shape.sort;
  const sorted = key !== undefined && sort?.key === key;
  const side = shape.right ? "right" : "";
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
        <div role="cell" key={column} class={shapeOf(column).right ? "right" : ""}>
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
