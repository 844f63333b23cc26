// Every condition of the filter, as a form; what is set, as chips.
import { useState } from "preact/hooks";
import { REASONS, reasonText, STATUSES, statusLabel, statusText } from "../../api/session";
import { bytes, moment, visible } from "../../format";
import { Dialog } from "../../parts/Dialog";
import type { Mode } from "./columns";
import { CONDITIONS, type Condition, conditionLabel, ENDED_ONLY, type Filter } from "./filter";

export function FilterForm({
  filter,
  mode,
  apply,
  close,
}: {
  filter: Filter;
  mode: Mode;
  apply: (conditions: Filter["conditions"]) => void;
  close: () => void;
}) {
  const [draft, setDraft] = useState(filter.conditions);
  const set = (name: Condition, value: string): void => setDraft({ ...draft, [name]: value });
  const offered = CONDITIONS.filter((name) => mode === "ended" || !ENDED_ONLY.includes(name));
  return (
    <Dialog title="Filters" close={close} wide>
      <form
        class="filter-form"
        onSubmit={(event) => {
          event.preventDefault();
          const kept = Object.entries(draft).filter(([, value]) => value.trim() !== "");
          apply(Object.fromEntries(kept));
          close();
        }}
      >
        <div class="filter-fields">
          {offered.map((name) => (
            <label class="field" key={name}>
              <span>{conditionLabel(name)}</span>
              <Field name={name} value={draft[name] ?? ""} set={(value) => set(name, value)} />
            </label>
          ))}
        </div>
        <div class="buttons">
          <button type="button" onClick={() => setDraft({})}>
            Clear
          </button>
          <button type="submit" class="primary">
            Apply
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function Field({ name, value, set }: { name: Condition; value: string; set: (value: string) => void }) {
  const choose = (choices: readonly (readonly [string, string])[]) => (
    <select value={value} onChange={(event) => set(event.currentTarget.value)}>
      <option value="">any</option>
      {choices.map(([choice, label]) => (
        <option key={choice} value={choice}>
          {label}
        </option>
      ))}
    </select>
  );
  switch (name) {
    case "status":
      return choose(STATUSES.filter((one) => one !== "active").map((one) => [one, statusLabel(one)]));
    case "close_reason":
      return choose(REASONS.map((one) => [one, reasonText(one)]));
    case "protocol":
      return choose([
        ["tcp", "tcp"],
        ["udp", "udp"],
      ]);
    case "start_after":
    case "start_before":
    case "at":
      return (
        <input
          type="datetime-local"
          step="1"
          value={toLocal(value)}
          onInput={(event) => set(fromLocal(event.currentTarget.value))}
        />
      );
    case "hours":
    case "min_bytes":
    case "min_duration_secs":
    case "egress_port":
      return (
        <input
          type="number"
          min={name === "hours" ? 1 : 0}
          value={value}
          onInput={(event) => set(event.currentTarget.value)}
        />
      );
    case "user":
    case "dest":
    case "source_ip":
    case "dest_ip":
    case "egress_ip":
    case "node":
      return (
        <input
          type="text"
          maxLength={255}
          spellcheck={false}
          value={value}
          onInput={(event) => set(event.currentTarget.value)}
        />
      );
    default:
      return name satisfies never;
  }
}

/** UTC as the URL has it, to the local form that the browser's field wants. */
function toLocal(text: string): string {
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) return "";
  const at = new Date(ms);
  return new Date(ms - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

function fromLocal(text: string): string {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? "" : new Date(ms).toISOString();
}

/** A condition in words. */
export function conditionText(name: Condition, value: string): string {
  switch (name) {
    case "status":
      return statusText(value);
    case "close_reason":
      return reasonText(value);
    case "hours":
      return `last ${value} h`;
    case "min_bytes":
      return `at least ${bytes(Number(value))}`;
    case "min_duration_secs":
      return `at least ${value} s`;
    case "start_after":
    case "start_before":
    case "at":
      return `${conditionLabel(name).toLowerCase()} ${moment(Date.parse(value), Date.now())}`;
    case "user":
    case "dest":
    case "source_ip":
    case "protocol":
    case "dest_ip":
    case "egress_ip":
    case "egress_port":
    case "node":
      return `${conditionLabel(name).toLowerCase()} ${visible(value)}`;
    default:
      return name satisfies never;
  }
}

/** What is set, each with a button that takes it away. */
export function Conditions({ filter, clear }: { filter: Filter; clear: (name: Condition) => void }) {
  const set = CONDITIONS.flatMap((name) => {
    const value = filter.conditions[name];
    return value === undefined ? [] : [{ name, words: conditionText(name, value) }];
  });
  return set.map(({ name, words }) => (
    <button
      key={name}
      type="button"
      class="chip on"
      aria-label={`Remove the filter ${words}`}
      onClick={() => clear(name)}
    >
      <bdi class="name">{words}</bdi> <span aria-hidden="true">✕</span>
    </button>
  ));
}
