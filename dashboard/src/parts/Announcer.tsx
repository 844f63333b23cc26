// Says things to screen readers: one live region, the newest sentence, at most one in two seconds.
import { signal } from "@preact/signals";

const said = signal("");
let next: string | null = null;
let timer: ReturnType<typeof setTimeout> | null = null;

/** Says a sentence; one that follows soon replaces those before it that were not said yet. */
export function say(sentence: string): void {
  next = sentence;
  if (timer !== null) return;
  timer = setTimeout(() => {
    timer = null;
    if (next !== null) said.value = next;
    next = null;
  }, 2_000);
}

export function Announcer() {
  return (
    <div class="quiet-text" role="status" aria-live="polite">
      {said.value}
    </div>
  );
}
