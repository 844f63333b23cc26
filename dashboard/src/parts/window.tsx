// The window of time that rankings and sums are for: in the URL, the same choices everywhere.
import { route, setParams } from "../routes";

export const WINDOWS: readonly (readonly [hours: number, label: string])[] = [
  [1, "1 hour"],
  [6, "6 hours"],
  [24, "24 hours"],
  [168, "7 days"],
  [720, "30 days"],
];

/** The chosen window in hours. */
export function windowHours(): number {
  const hours = Number(route.value.params.get("window"));
  return WINDOWS.some(([known]) => known === hours) ? hours : 24;
}

export function WindowChoice() {
  const chosen = windowHours();
  return (
    <div class="segments" role="group" aria-label="Window">
      {WINDOWS.map(([hours, label]) => (
        <button
          key={hours}
          type="button"
          aria-pressed={hours === chosen}
          onClick={() => setParams({ window: hours === 24 ? null : String(hours) }, "push")}
        >
          {label}
        </button>
      ))}
    </div>
  );
}
