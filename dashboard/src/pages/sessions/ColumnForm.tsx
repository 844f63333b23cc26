// Which columns a list has, and in which order.
import { useState } from "preact/hooks";
import { Dialog } from "../../parts/Dialog";
import { COLUMNS, type Column, defaultColumns, type Mode, shapeOf } from "./columns";

export function ColumnForm({
  columns,
  mode,
  apply,
  close,
}: {
  columns: readonly Column[];
  mode: Mode;
  apply: (columns: readonly Column[] | null) => void;
  close: () => void;
}) {
  const [order, setOrder] = useState<readonly Column[]>([
    ...columns,
    ...COLUMNS.filter((column) => !columns.includes(column)),
  ]);
  const [chosen, setChosen] = useState<ReadonlySet<Column>>(new Set(columns));

  const toggle = (column: Column): void => {
    const next = new Set(chosen);
    if (!next.delete(column)) next.add(column);
    setChosen(next);
  };
  const swap = (left: number, right: number): void => {
    const next = [...order];
    const [a, b] = [next[left], next[right]];
    if (a === undefined || b === undefined) return;
    next[left] = b;
    next[right] = a;
    setOrder(next);
  };

  return (
    <Dialog title="Columns" close={close}>
      <ul class="column-list">
        {order.map((column, index) => {
          const { label } = shapeOf(column);
          return (
            <li key={column}>
              <label>
                <input type="checkbox" checked={chosen.has(column)} onChange={() => toggle(column)} /> {label}
              </label>
              <button
                type="button"
                class="small"
                aria-label={`Move ${label} up`}
                disabled={index === 0}
                onClick={() => swap(index, index - 1)}
              >
                <span aria-hidden="true">↑</span>
              </button>
              <button
                type="button"
                class="small"
                aria-label={`Move ${label} down`}
                disabled={index === order.length - 1}
                onClick={() => swap(index, index + 1)}
              >
                <span aria-hidden="true">↓</span>
              </button>
            </li>
          );
        })}
      </ul>
      <div class="buttons">
        <button
          type="button"
          onClick={() => {
            apply(null);
            close();
          }}
        >
          Default columns
        </button>
        <button
          type="button"
          class="primary"
          disabled={chosen.size === 0}
          onClick={() => {
            const wanted = order.filter((column) => chosen.has(column));
            apply(wanted.join() === defaultColumns(mode).join() ? null : wanted);
            close();
          }}
        >
          Apply
        </button>
      </div>
    </Dialog>
  );
}
