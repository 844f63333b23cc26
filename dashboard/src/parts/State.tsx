// What a view shows while it has nothing, or nothing yet, or something went wrong.
import type { ComponentChildren } from "preact";
import { failureText } from "../api/outcome";
import { ago } from "../format";
import { type Loaded, tick } from "./load";

/** Shows what was loaded, or why it was not. */
export function Show<T>({
  of,
  children,
  rows = 4,
  meanwhile = <Skeleton rows={rows} />,
}: {
  of: Loaded<T>;
  children: (data: T) => ComponentChildren;
  /** Lines that the place holder has. */
  rows?: number;
  /** What stands in the place, as large as what will come, so that nothing moves then. */
  meanwhile?: ComponentChildren;
}) {
  const { load, again } = of;
  switch (load.kind) {
    case "loading":
      return <>{meanwhile}</>;
    case "failed":
      return <Trouble text={failureText(load.failure)} again={again} />;
    case "ready":
      return (
        <>
          {load.trouble !== null && (
            <p class="note warn" role="status">
              {failureText(load.trouble)} This is from {ago(tick.value - load.at)}.
            </p>
          )}
          {children(load.data)}
        </>
      );
    default:
      return load satisfies never;
  }
}

export function Skeleton({ rows }: { rows: number }) {
  return (
    <div class="skeleton" aria-busy="true">
      <span class="quiet-text">Loading…</span>
      {Array.from({ length: rows }, (_, index) => (
        <div class="bone" key={index} />
      ))}
    </div>
  );
}

export function Trouble({ text, again }: { text: string; again?: () => void }) {
  return (
    <div class="trouble" role="alert">
      <p>{text}</p>
      {again && (
        <button type="button" onClick={again}>
          Try again
        </button>
      )}
    </div>
  );
}

/** Nothing is there, said in words, with what could be done. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children && <div class="quiet">{children}</div>}
    </div>
  );
}
