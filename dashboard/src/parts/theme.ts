// Light or dark: by the system's preference, or as the visitor chose.
import { computed, effect, signal } from "@preact/signals";

export const THEMES = ["auto", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const KEY = "rustsocks.theme";
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const systemDark = signal(dark.matches);
dark.addEventListener("change", () => {
  systemDark.value = dark.matches;
});

export const theme = signal<Theme>(THEMES.find((name) => name === remembered()) ?? "auto");
export const isDark = computed(() => (theme.value === "auto" ? systemDark.value : theme.value === "dark"));

function remembered(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

effect(() => {
  document.documentElement.dataset.theme = isDark.value ? "dark" : "light";
  try {
    localStorage.setItem(KEY, theme.value);
  } catch {
    // A browser that remembers nothing follows the system's preference.
  }
});

/** Whether the window is as narrow as a phone. */
const narrow = window.matchMedia("(max-width: 720px)");
export const isNarrow = signal(narrow.matches);
narrow.addEventListener("change", () => {
  isNarrow.value = narrow.matches;
});
