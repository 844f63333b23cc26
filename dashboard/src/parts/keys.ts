// Keyboard shortcuts: one listener, and the list that the help sheet shows.
import { signal } from "@preact/signals";
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

export const pageKeys = signal<PageKeys>({});

/** The page with keys of its own is left. */
export function clearPageKeys(): void {
  pageKeys.value = {};
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

function press(event: KeyboardEvent): boolean {
  const keys = pageKeys.peek();
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
      keys.filter?.();
      return keys.filter !== undefined;
    case "p":
      keys.pause?.();
      return keys.pause !== undefined;
    case "j":
      keys.next?.();
      return keys.next !== undefined;
    case "k":
      keys.previous?.();
      return keys.previous !== undefined;
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
