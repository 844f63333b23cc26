// Operator events as a list.
import type { Event } from "../api/server";
import { count, visible } from "../format";
import { Time } from "./Text";

export const SEVERITIES = ["info", "warning", "error"] as const;
export type Severity = (typeof SEVERITIES)[number];

export function readSeverity(text: string): Severity | null {
  return SEVERITIES.find((severity) => severity === text) ?? null;
}

/** The category's published name in words. */
export function categoryText(category: string): string {
  return category.replaceAll("_", " ");
}

/** An event's particulars, one `name: value` each; not an object, none. */
export function particulars(details: unknown): [string, string][] {
  if (typeof details !== "object" || details === null) return [];
  return Object.entries(details).map(([name, value]) => [
    name,
    typeof value === "string" ? value : JSON.stringify(value),
  ]);
}

export function EventList({ events }: { events: readonly Event[] }) {
  return (
    <ul class="events">
      {events.map((event) => (
        <li
          key={`${event.first_timestamp} ${event.category} ${event.message}`}
          class={readSeverity(event.severity) ?? "info"}
        >
          <Time at={event.timestamp} />
          <span class={`severity ${event.severity}`}>{event.severity}</span>
          <span class="event-message">
            <bdi>{visible(event.message)}</bdi>
            {event.count > 1 && (
              <span class="badge" title="times, since the first">
                ×{count(event.count)}
              </span>
            )}
          </span>
          <span class="event-particulars">
            <span class="quiet">{categoryText(event.category)}</span>
            {particulars(event.details).map(([name, value]) => (
              <span key={name}>
                <span class="quiet">{name}</span> <bdi>{visible(value)}</bdi>
              </span>
            ))}
          </span>
        </li>
      ))}
    </ul>
  );
}
