// Keyboard shortcuts: one listener, and the list that the help sheet shows.
import { signal } from "@preact/signals";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { go, hashOf, type PageName } from "../routes";

export const helpOpen = signal(false);

export function showHelp(show: boolean): void {
  helpOpen.value = show;
}

/** What the present page does with keys of its own. */
export interface PageKeys {
  /** Moves to the filter. */
  filter?: () => void;
  pause?: () => void;
  next?: () => void;
  previous?: () => void;
}

/** A mounted component with keys. */
interface Owner {
  /** Parents are drawn for the first time before their children. */
  drawn: number;
  keys: PageKeys;
}

/** The mounted owners, the innermost last. */
const owners: Owner[] = [];
let drawn = 0;

/** Gives a component these keys while it is mounted. The innermost that has a key is asked. */
export function usePageKeys(keys: PageKeys): void {
  const [order] = useState(() => {
    drawn += 1;
    return drawn;
  });
  const owner = useRef<Owner>({ drawn: order, keys });
  owner.current.keys = keys;
  useLayoutEffect(() => {
    const { current } = owner;
    // Effects of children come before their parents'.
    const after = owners.findIndex((other) => other.drawn > current.drawn);
    owners.splice(after < 0 ? owners.length : after, 0, current);
    return () => void owners.splice(owners.indexOf(current), 1);
  }, []);
}

/** What the innermost owner of a key does; undefined where nobody has it. */
function ownKey(name: keyof PageKeys): (() => void) | undefined {
  return owners.findLast(({ keys }) => keys[name] !== undefined)?.keys[name];
}

export const SHORTCUTS: readonly [keys: string, does: string][] = [
  ["?", "this sheet"],
  ["/", "go to the filter"],
  ["p", "pause and resume the live view"],
  ["j  k  ↓  ↑", "next and previous row"],
  ["Enter", "open the row"],
  ["Esc", "close what is open"],
  ["g o", "Overview"],
  ["g s", "Sessions"],
  ["g u", "Users"],
  ["g d", "Destinations"],
  ["g r", "Rejections"],
  ["g a", "Access rules"],
  ["g e", "Events"],
  ["g y", "System"],
];

const PLACES: Record<string, PageName> = {
  o: "overview",
  s: "sessions",
  u: "users",
  d: "destinations",
  r: "rejections",
  a: "rules",
  e: "events",
  y: "system",
};

/** When `g` was pressed and nothing since, by the browser's monotonic clock, which starts with the page. */
let going = Number.NEGATIVE_INFINITY;

function writes(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLInputElement ||
    target instanceof HTMLTextAreaElement ||
    target instanceof HTMLSelectElement
  );
}

function pressOwn(name: keyof PageKeys): boolean {
  const does = ownKey(name);
  does?.();
  return does !== undefined;
}

function press(event: KeyboardEvent): boolean {
  if (performance.now() - going < 1_500) {
    going = Number.NEGATIVE_INFINITY;
    const place = PLACES[event.key];
    if (place === undefined) return false;
    go(hashOf(place));
    return true;
  }
  switch (event.key) {
    case "?":
      helpOpen.value = true;
      return true;
    case "g":
      going = performance.now();
      return true;
    case "/":
      return pressOwn("filter");
    case "p":
      return pressOwn("pause");
    case "j":
      return pressOwn("next");
    case "k":
      return pressOwn("previous");
    default:
      return false;
  }
}

/** Listens for the shortcuts. */
export function listenForKeys(): void {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    if (writes(event.target) || document.querySelector("dialog[open]") !== null) return;
    if (press(event)) event.preventDefault();
  });
}
