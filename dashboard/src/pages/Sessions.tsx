// Sessions, running and ended: one page, all of whose state is in the URL.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { mayOperate } from "../api/login";
import { failureText } from "../api/outcome";
import { exportUrl, type Query } from "../api/sessions";
import { byteRate, count, things } from "../format";
import { heldAt, live, type Row } from "../live";
import { say } from "../parts/Announcer";
import { usePageKeys } from "../parts/keys";
import { Empty, Skeleton, Trouble } from "../parts/State";
import { isNarrow } from "../parts/theme";
import { hashOf, route, setParams } from "../routes";
import { ColumnForm } from "./sessions/ColumnForm";
import { type Mode, readColumns } from "./sessions/columns";
import { Drawer } from "./sessions/Drawer";
import { EndDialog, type Wish } from "./sessions/End";
import { Conditions, FilterForm } from "./sessions/FilterForm";
import { download, downloadText, toCsv, toNdjson } from "./sessions/file";
import { ENDED_ONLY, type Filter, forRunning, readFilter, serverKnows, toQuery } from "./sessions/filter";
import { GROUPINGS, type Grouping, group, groupingLabel, lines, readGrouping } from "./sessions/group";
import { LOOKED_THROUGH, useEnded } from "./sessions/history";
import { isServerKey, parseSort, rate, type Sort, type SortKey, sortText } from "./sessions/order";
import { busy, type Frozen, pause, useRunning } from "./sessions/running";
import { Table } from "./sessions/Table";
import { RowView } from "./sessions/view";

const NEWEST: Record<Mode, Sort> = {
  running: { key: "start_time", down: true },
  ended: { key: "end_time", down: true },
};

export function Sessions() {
  const { params } = route.value;
  const mode: Mode = params.get("show") === "ended" ? "ended" : "running";
  return mode === "running" ? <Running params={params} /> : <History params={params} />;
}

function useFilter(params: URLSearchParams, mode: Mode): Filter {
  const key = params.toString();
  // The key is the parameters' text.
  return useMemo(
    () => (mode === "running" ? forRunning(readFilter(params)) : readFilter(params)),
    [key, mode],
  );
}

function Running({ params }: { params: URLSearchParams }) {
  const filter = useFilter(params, "running");
  const sort = parseSort(params.get("sort")) ?? NEWEST.running;
  const [frozen, setFrozen] = useState<Frozen | null>(null);
  const rows = useRunning(filter, sort, frozen);
  useEffect(() => release, []);
  const toggle = (): void => {
    const next = frozen === null ? pause() : null;
    setFrozen(next);
    heldAt.value = next?.now ?? null;
    say(frozen === null ? "The view is paused." : "The view is live.");
  };
  const now = frozen?.now ?? live.now();
  // With the rows, not with each moment: summing a hundred thousand takes a while.
  const { running, flow } = useMemo(() => sum(rows, now), [rows]);
  const runningRows = (): Row[] => rows.filter((row) => row.endedAt === 0);
  // What the server would find now is not what a paused view shows.
  const byServer = frozen === null && serverKnows(filter);
  return (
    <Page
      mode="running"
      params={params}
      filter={filter}
      sort={sort}
      rows={rows}
      summed={runningRows}
      now={now}
      pause={{ paused: frozen !== null, toggle }}
      summary={
        <>
          <b>{count(running)}</b> of {things(frozen?.running ?? live.running, "running session")}
          {flow > 0 && <span class="quiet"> · {byteRate(flow)}</span>}
          {frozen !== null && <Meanwhile frozen={frozen} />}
        </>
      }
      exported={byServer ? { query: { ...toQuery(filter), status: "active" } } : { rows: runningRows }}
      wish={() =>
        byServer
          ? { kind: "filter", filter }
          : { kind: "listed", sessions: runningRows().map((row) => row.session) }
      }
      state={
        rows.length > 0 ? null : !live.complete.value ? (
          <Skeleton rows={8} />
        ) : live.running === 0 ? (
          <Empty title="No session runs now">
            Point a SOCKS5 client at this server and its sessions appear here as they open.{" "}
            <a href={hashOf("sessions", { show: "ended" })}>Show ended sessions</a>
          </Empty>
        ) : (
          <Empty title="No running session is found by this filter">
            <a href={hashOf("sessions")}>Clear the filter</a> or{" "}
            <a href={hashOf("sessions", [...without(params, "sort"), ["show", "ended"]])}>
              look among ended sessions
            </a>
          </Empty>
        )
      }
    />
  );
}

/** A view that is left is not held any more. */
function release(): void {
  heldAt.value = null;
}

/** How many of the rows still run, and how many bytes per second they move. */
function sum(rows: readonly Row[], now: number): { running: number; flow: number } {
  let running = 0;
  let flow = 0;
  for (const row of rows) {
    if (row.endedAt !== 0) continue;
    running += 1;
    flow += rate(row, now);
  }
  return { running, flow };
}

/** What happened while the view was paused. */
function Meanwhile({ frozen }: { frozen: Frozen }) {
  live.version.value;
  return (
    <span class="badge">
      paused · {count(live.totals.opened - frozen.opened)} opened and{" "}
      {count(live.totals.ended - frozen.ended)} ended meanwhile
    </span>
  );
}

function History({ params }: { params: URLSearchParams }) {
  const filter = useFilter(params, "ended");
  const wanted = parseSort(params.get("sort"));
  const key = wanted !== null && isServerKey(wanted.key) ? wanted.key : "end_time";
  const sort: Sort = wanted !== null && wanted.key === key ? wanted : NEWEST.ended;
  const grouping = readGrouping(params.get("group"));
  const query: Query = {
    ...toQuery(filter),
    ...(sortText(sort) === "-end_time" ? {} : { sort_by: key, sort_dir: sort.down ? "desc" : "asc" }),
  };
  const through = filter.text.trim() !== "" || grouping !== null;
  const ended = useEnded(query, through);
  const rows = useMemo(
    () => new RowView(ended.rows, false).choose({ ...filter, conditions: {} }, 0),
    [ended.rows, filter],
  );
  const partial = ended.total !== null && ended.rows.length < ended.total;
  const failure =
    ended.failure === null ? null : <Trouble text={failureText(ended.failure)} again={ended.again} />;
  return (
    <Page
      mode="ended"
      params={params}
      filter={filter}
      sort={sort}
      rows={rows}
      now={live.now()}
      pause={null}
      onEnd={ended.fetchMore}
      summary={
        <>
          {ended.total === null ? (
            "…"
          ) : through ? (
            <>
              <b>{count(rows.length)}</b> among {partial ? `the first ${count(ended.rows.length)} of ` : ""}
              {things(ended.total, "ended session")}
              {ended.more && ended.rows.length >= LOOKED_THROUGH && !ended.loading && (
                <button type="button" class="small" onClick={ended.fetchMore}>
                  Look further
                </button>
              )}
            </>
          ) : (
            <b>{things(ended.total, "ended session")}</b>
          )}
          <Newer since={ended.rows} again={ended.again} />
        </>
      }
      exported={filter.text.trim() === "" ? { query: toQuery(filter) } : { rows: () => rows }}
      wish={null}
      state={
        failure ??
        (rows.length > 0 ? null : ended.loading ? (
          <Skeleton rows={8} />
        ) : (
          <Empty title="No ended session is found">
            {Object.keys(filter.conditions).length > 0 || filter.text !== "" ? (
              <a href={hashOf("sessions", { show: "ended" })}>Clear the filter</a>
            ) : (
              "Sessions are kept here once they have ended."
            )}
          </Empty>
        ))
      }
    />
  );
}

/** Sessions that ended since the list was read; it is not changed under the reader's eyes. */
function Newer({ since, again }: { since: readonly Row[]; again: () => void }) {
  live.version.value;
  const now = { since, ended: live.totals.ended, lists: live.lists };
  const known = useRef(now);
  if (known.current.since !== since) known.current = now;
  const more = now.ended - known.current.ended;
  // Ends that nobody heard of are not counted.
  const missed = known.current.lists > 0 && known.current.lists !== now.lists;
  return (
    <button type="button" class="small" onClick={again} disabled={more === 0 && !missed}>
      {missed ? "Refresh" : more === 0 ? "Up to date" : `Refresh: ${count(more)} ended since`}
    </button>
  );
}

function without(params: URLSearchParams, ...names: string[]): [string, string][] {
  return [...params].filter(([name]) => !names.includes(name));
}

interface PageProps {
  mode: Mode;
  params: URLSearchParams;
  filter: Filter;
  sort: Sort;
  rows: Row[];
  /** The rows that groups are made of, where these are others. */
  summed?: () => Row[];
  now: number;
  pause: { paused: boolean; toggle: () => void } | null;
  summary: preact.ComponentChildren;
  exported: { query: Query } | { rows: () => readonly Row[] };
  wish: (() => Wish) | null;
  /** What stands in place of the table. */
  state: preact.ComponentChildren;
  onEnd?: () => void;
}

function Page(props: PageProps) {
  const { mode, params, filter, sort, rows } = props;
  const grouping = readGrouping(params.get("group"));
  const columns = readColumns(params.get("cols"), mode);
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const groups = useMemo(
    () =>
      grouping === null ? null : lines(group(props.summed?.() ?? rows, grouping, sort, props.now), open),
    [rows, grouping, sort.key, sort.down, open],
  );
  const drawer = params.get("session");
  const canSort = (key: SortKey): boolean => (mode === "ended" ? isServerKey(key) : key !== "end_time");
  return (
    <div class={drawer === null ? "sessions" : "sessions with-drawer"}>
      <Toolbar {...props} grouping={grouping} />
      {props.state ?? (
        <Table
          label={mode === "running" ? "Running sessions" : "Ended sessions"}
          lines={
            groups === null
              ? {
                  length: rows.length,
                  at: (index) => {
                    const row = rows[index];
                    return row === undefined ? undefined : { kind: "row", row };
                  },
                }
              : { length: groups.length, at: (index) => groups[index] }
          }
          columns={columns}
          sort={sort}
          canSort={canSort}
          onSort={(key) => {
            const down = sort.key === key ? !sort.down : key !== "user" && key !== "dest" && key !== "source";
            setParams({ sort: sortText({ key, down }) });
          }}
          onOpen={(id) => setParams({ session: id }, "push")}
          onToggle={({ key }) => {
            const next = new Set(open);
            if (!next.delete(key)) next.add(key);
            setOpen(next);
          }}
          opened={drawer}
          onEnd={props.onEnd}
        />
      )}
      {drawer !== null && <Drawer id={drawer} close={() => setParams({ session: null }, "push")} />}
      {filter.text !== "" && <Found count={rows.length} />}
    </div>
  );
}

/** Tells screen readers what a text finds, once typing pauses. */
function Found({ count: found }: { count: number }) {
  const text = route.value.params.get("q");
  // Rows that come and go are not told.
  useEffect(() => say(`${things(found, "session")} found.`), [text]);
  return null;
}

type Chip = { label: string; mode: Mode; set: Record<string, string> };

/** Ready-made filters. */
const CHIPS: readonly Chip[] = [
  { label: "Failed", mode: "ended", set: { status: "failed" } },
  { label: "Rejected", mode: "ended", set: { status: "rejected_by_acl" } },
  { label: "Ended by an operator", mode: "ended", set: { close_reason: "admin_terminated" } },
  { label: "Last hour", mode: "ended", set: { hours: "1" } },
  { label: "Large (10 MiB)", mode: "ended", set: { min_bytes: "10485760" } },
  { label: "Large (1 MiB)", mode: "running", set: { min_bytes: "1048576" } },
  { label: "Long (10 min)", mode: "running", set: { min_duration_secs: "600" } },
  { label: "New (last hour)", mode: "running", set: { hours: "1" } },
  { label: "UDP", mode: "running", set: { protocol: "udp" } },
];

function Toolbar(props: PageProps & { grouping: Grouping | null }) {
  const { mode, params, filter, pause } = props;
  const search = useRef<HTMLInputElement>(null);
  const [dialog, setDialog] = useState<"none" | "filters" | "columns">("none");
  const [wish, setWish] = useState<Wish | null>(null);

  usePageKeys({
    filter: () => search.current?.focus(),
    ...(pause === null ? {} : { pause: pause.toggle }),
  });

  const modeLink = (to: Mode): string =>
    hashOf("sessions", [
      ...without(params, "show", "sort", "cols", ...(to === "running" ? ENDED_ONLY : [])),
      ...(to === "ended" ? [["show", "ended"] satisfies [string, string]] : []),
    ]);

  const save = (format: "csv" | "ndjson"): void => {
    const name = `sessions-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.${format}`;
    if ("query" in props.exported) {
      download(exportUrl(props.exported.query, format), name);
      return;
    }
    const sessions = props.exported.rows().map((row) => row.session);
    if (format === "csv") downloadText(toCsv(sessions), "text/csv", name);
    else downloadText(toNdjson(sessions), "application/x-ndjson", name);
  };

  return (
    <>
      <div class="toolbar">
        <nav class="segments" aria-label="Which sessions">
          <a href={modeLink("running")} aria-current={mode === "running" ? "true" : undefined}>
            Running
          </a>
          <a href={modeLink("ended")} aria-current={mode === "ended" ? "true" : undefined}>
            Ended
          </a>
        </nav>
        <input
          ref={search}
          type="search"
          class="search"
          placeholder="Find user, destination, source, rule…"
          aria-label="Filter sessions"
          value={filter.text}
          maxLength={255}
          spellcheck={false}
          onInput={(event) => {
            busy();
            setParams({ q: event.currentTarget.value }, "typed");
          }}
          onKeyDown={(event) => {
            if (event.key === "Escape") event.currentTarget.blur();
          }}
        />
        <button type="button" onClick={() => setDialog("filters")}>
          Filters
        </button>
        <label class="inline">
          <span class="quiet">Group by</span>
          <select
            value={props.grouping ?? ""}
            onChange={(event) => setParams({ group: event.currentTarget.value })}
          >
            {/* A phone has no place for the label. */}
            <option value="">{isNarrow.value ? "Group by…" : "nothing"}</option>
            {GROUPINGS.map((name) => (
              <option key={name} value={name}>
                {isNarrow.value ? `By ${groupingLabel(name).toLowerCase()}` : groupingLabel(name)}
              </option>
            ))}
          </select>
        </label>
        {!isNarrow.value && (
          <button type="button" onClick={() => setDialog("columns")}>
            Columns
          </button>
        )}
      </div>
      <div class="chips">
        <Conditions filter={filter} clear={(name) => setParams({ [name]: null })} />
        {CHIPS.filter((chip) => chip.mode === mode || chip.mode === "ended")
          .filter((chip) => mode === "ended" || chip.set.status !== undefined || chip.mode === "running")
          .filter((chip) => Object.keys(chip.set).every((name) => !params.has(name)))
          .map((chip) => (
            <a
              key={chip.label}
              class="chip"
              href={hashOf("sessions", [
                ...without(params, "show", ...(chip.mode === mode ? [] : ["sort", "cols"])),
                ...(chip.mode === "ended" ? [["show", "ended"] satisfies [string, string]] : []),
                ...Object.entries(chip.set),
              ])}
            >
              {chip.label}
            </a>
          ))}
      </div>
      <div class="summary">
        <span>{props.summary}</span>
        <span class="spring" />
        {pause !== null && (
          <button type="button" onClick={pause.toggle} class={pause.paused ? "primary" : ""}>
            {pause.paused ? "Resume" : "Pause"}
          </button>
        )}
        <button type="button" onClick={() => save("csv")}>
          Export CSV
        </button>
        <button type="button" onClick={() => save("ndjson")}>
          Export NDJSON
        </button>
        {props.wish !== null && mayOperate.value && (
          <button
            type="button"
            class="danger"
            onClick={() => setWish(props.wish?.() ?? null)}
            disabled={props.rows.length === 0}
          >
            End shown…
          </button>
        )}
      </div>
      {dialog === "filters" && (
        <FilterForm
          filter={filter}
          mode={mode}
          close={() => setDialog("none")}
          apply={(conditions) => {
            const cleared = Object.fromEntries(Object.keys(filter.conditions).map((name) => [name, null]));
            setParams({ ...cleared, ...conditions }, "push");
          }}
        />
      )}
      {dialog === "columns" && (
        <ColumnForm
          columns={readColumns(params.get("cols"), mode)}
          mode={mode}
          close={() => setDialog("none")}
          apply={(columns) => setParams({ cols: columns?.join() ?? null })}
        />
      )}
      {wish !== null && <EndDialog wish={wish} close={() => setWish(null)} />}
    </>
  );
}
