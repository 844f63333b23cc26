// Operator events, by severity and category.
import { type Event, events } from "../api/server";
import { count, things } from "../format";
import { categoryText, EventList, SEVERITIES } from "../parts/Events";
import { useLoad } from "../parts/load";
import { Empty, Show } from "../parts/State";
import { route, setParams } from "../routes";

const MOST = 500;

export function Events() {
  const { params } = route.value;
  const severity = params.get("severity");
  const category = params.get("category");
  const asked = useLoad("events", (signal) => events({ limit: MOST }, signal), "often");
  return (
    <div class="page">
      <div class="page-head">
        <h2>Events</h2>
      </div>
      <Show of={asked} rows={8}>
        {(list) => <Filtered list={list} severity={severity} category={category} />}
      </Show>
    </div>
  );
}

function Filtered({
  list,
  severity,
  category,
}: {
  list: readonly Event[];
  severity: string | null;
  category: string | null;
}) {
  const categories = [...new Set(list.map((event) => event.category))].sort();
  const shown = list.filter(
    (event) =>
      (severity === null || event.severity === severity) &&
      (category === null || event.category === category),
  );
  const many = (test: (event: Event) => boolean): number => list.filter(test).length;
  return (
    <>
      <div class="chips" role="group" aria-label="Severity and category">
        {SEVERITIES.map((one) => (
          <button
            key={one}
            type="button"
            class={severity === one ? "chip on" : "chip"}
            aria-pressed={severity === one}
            onClick={() => setParams({ severity: severity === one ? null : one }, "push")}
          >
            {one} <span class="quiet">{count(many((event) => event.severity === one))}</span>
          </button>
        ))}
        <span class="chip-gap" />
        {categories.map((one) => (
          <button
            key={one}
            type="button"
            class={category === one ? "chip on" : "chip"}
            aria-pressed={category === one}
            onClick={() => setParams({ category: category === one ? null : one }, "push")}
          >
            {categoryText(one)} <span class="quiet">{count(many((event) => event.category === one))}</span>
          </button>
        ))}
      </div>
      <p class="summary">
        <b>{things(shown.length, "event")}</b>{" "}
        <span class="quiet">
          that came{" "}
          {things(
            shown.reduce((sum, event) => sum + event.count, 0),
            "time",
          )}{" "}
          in all
          {list.length >= MOST && `; the newest ${MOST} are shown`}
        </span>
      </p>
      {shown.length === 0 ? (
        <Empty title={list.length === 0 ? "Nothing to report" : "No event of this kind"}>
          {list.length === 0
            ? "Events tell of what an operator may want to know: a store that fails, a port that cannot be opened."
            : ""}
        </Empty>
      ) : (
        <EventList events={shown} />
      )}
    </>
  );
}
