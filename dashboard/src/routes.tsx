// Where the visitor is. Everything that is looked at (page, filter, window) is in the URL's hash, so
// that the server serves one page, at any `base_path`, and a link says it all.
import { computed, signal } from "@preact/signals";

export const PAGES = [
  "overview",
  "sessions",
  "users",
  "destinations",
  "rejections",
  "rules",
  "events",
  "system",
] as const;
export type PageName = (typeof PAGES)[number];

export interface Route {
  page: PageName;
  params: URLSearchParams;
}

/** Reads a hash such as `#/sessions?user=alice`; an unknown page is the overview. */
export function parseHash(hash: string): Route {
  const [path = "", search = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const page = PAGES.find((name) => name === path) ?? "overview";
  return { page, params: new URLSearchParams(search) };
}

/** The hash that leads to a page. Parameters that are empty are left out. */
export function hashOf(
  page: PageName,
  params: Iterable<[string, string]> | Record<string, string> = {},
): string {
  const kept = new URLSearchParams();
  const entries = Symbol.iterator in params ? params : Object.entries(params);
  for (const [name, value] of entries) if (value !== "") kept.set(name, value);
  const search = kept.toString();
  return `#/${page}${search === "" ? "" : `?${search}`}`;
}

const hash = signal(location.hash);
/** The visitor came here by a link, or went back or forward. */
function arrive(): void {
  forget();
  hash.value = location.hash;
}
window.addEventListener("hashchange", arrive);
// It comes with the step, and also where the address stays the same: what was typed belongs elsewhere.
window.addEventListener("popstate", arrive);

export const route = computed(() => parseHash(hash.value));

/**
 * How an address is gone to: `push` leaves a step to go back to, `replace` none; neither does `typed`,
 * which browsers are told once typing rests, since to tell them takes several milliseconds.
 */
export type Way = "push" | "replace" | "typed";

/** Typing rests, milliseconds. */
const REST_MS = 300;
let telling: ReturnType<typeof setTimeout> | null = null;

/** The browser is not told what it was going to be told. */
function forget(): void {
  if (telling !== null) clearTimeout(telling);
  telling = null;
}

/** Tells the browser what it has not been told yet. */
function tell(): void {
  if (telling !== null) history.replaceState(null, "", hash.peek());
  forget();
}
window.addEventListener("pagehide", tell);
// A link to where the browser believes to be would lead nowhere.
window.addEventListener("click", tell, { capture: true });

/** Goes to a place. */
export function go(target: string, how: Way = "push"): void {
  if (target === hash.peek()) return;
  switch (how) {
    case "push":
      tell();
      history.pushState(null, "", target);
      break;
    case "replace":
      forget();
      history.replaceState(null, "", target);
      break;
    case "typed":
      forget();
      telling = setTimeout(tell, REST_MS);
      break;
    default:
      how satisfies never;
  }
  hash.value = target;
}

/** Changes parameters of the present page; null takes one away. */
export function setParams(changes: Record<string, string | null>, how: Way = "replace"): void {
  const { page, params } = route.peek();
  const next = new URLSearchParams(params);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") next.delete(name);
    else next.set(name, value);
  }
  go(hashOf(page, next), how);
}

export function pageTitle(page: PageName): string {
  switch (page) {
    case "overview":
      return "Overview";
    case "sessions":
      return "Sessions";
    case "users":
      return "Users";
    case "destinations":
      return "Destinations";
    case "rejections":
      return "Rejections";
    case "rules":
      return "Access rules";
    case "events":
      return "Events";
    case "system":
      return "System";
    default:
      return page satisfies never;
  }
}
