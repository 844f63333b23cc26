// What runs now, who uses how much, and whether all is well.
import type { ComponentChildren } from "preact";
import { events, type Health, health, type Stats, stats } from "../api/server";
import { ago, byteRate, bytes, count, duration, perSecond, splitEndpoint, things, visible } from "../format";
import { live } from "../live";
import { Chart } from "../parts/Chart";
import { EventList } from "../parts/Events";
import { tick, useLoad } from "../parts/load";
import { type Ranked, Ranking } from "../parts/Ranking";
import { Empty, Show, Skeleton } from "../parts/State";
import { Panel, Tile } from "../parts/Tile";
import { WindowChoice, windowHours } from "../parts/window";
import { nowRates, pulse } from "../pulse";
import { hashOf } from "../routes";

/** As many as there is place for in the style sheet. */
const TOP = 8;

export function Overview() {
  const hours = windowHours();
  const sums = useLoad(`${hours}`, (signal) => stats(hours, TOP, signal), "often");
  const ledger = useLoad("health", health, "often");
  const feed = useLoad("events", (signal) => events({ minutes: 60, limit: 8 }, signal), "often");
  return (
    <div class="page">
      <h2 class="quiet-text">Now</h2>
      <Now />
      <Charts />
      <div class="page-head">
        <h2>In the last {hours === 1 ? "hour" : `${hours} hours`}</h2>
        <WindowChoice />
      </div>
      <Show of={sums} meanwhile={<Sums data={null} hours={hours} />}>
        {(data) => <Sums data={data} hours={hours} />}
      </Show>
      <div class="columns">
        <Panel title="Ledger">
          <Show of={ledger}>{(data) => <Ledger health={data} />}</Show>
        </Panel>
        <Panel title="Operational telemetry" aside={<a href={hashOf("events")}>All events</a>}>
          <Show of={feed}>
            {(list) =>
              list.length === 0 ? (
                <Empty title="Nothing to report in the last hour" />
              ) : (
                <EventList events={list} />
              )
            }
          </Show>
        </Panel>
      </div>
    </div>
  );
}

function Now() {
  live.version.value;
  const { opened, sent, received } = nowRates.value;
  return (
    <div class="tiles">
      <Tile name="Active sessions" link={hashOf("sessions")}>
        {live.complete.value ? count(live.running) : "–"}
      </Tile>
      <Tile name="Sessions per second">{perSecond(opened)}</Tile>
      <Tile name="Sent">{byteRate(sent)}</Tile>
      <Tile name="Received">{byteRate(received)}</Tile>
    </div>
  );
}

function Charts() {
  const { times, active, opened, sent, received } = pulse.value;
  return (
    <div class="charts">
      <Chart
        title="Bytes per second"
        times={times}
        write={byteRate}
        unit="bytes"
        lines={[
          { label: "sent", colour: "--sent", values: sent },
          { label: "received", colour: "--received", values: received },
        ]}
      />
      <Chart
        title="Active sessions"
        times={times}
        write={count}
        unit="count"
        lines={[{ label: "active", colour: "--accent", values: active }]}
      />
      <Chart
        title="Sessions per second"
        times={times}
        write={perSecond}
        unit="count"
        lines={[{ label: "opened", colour: "--accent", values: opened }]}
      />
    </div>
  );
}

/** The way to the ended sessions of a destination as rankings name it; the text narrows them to its port. */
export function destinationLink(dest: string, hours: number): string {
  const parts = splitEndpoint(dest);
  const text = parts === null ? "" : dest;
  return hashOf("sessions", { show: "ended", dest: parts?.host ?? dest, q: text, hours: String(hours) });
}

/** What that link shows; rankings count running sessions too. */
export function destinationTitle(dest: string): string {
  return `Ended sessions to ${visible(dest)}; those that still run are under Running`;
}

/** Sums and rankings; without data, places of the same size. */
function Sums({ data, hours }: { data: Stats | null; hours: number }) {
  const within = { show: "ended", hours: String(hours) };
  const sum = (write: (value: number) => string, value: number | undefined): string =>
    value === undefined ? "–" : write(value);
  const tone = (value = 0): "plain" | "warn" => (value > 0 ? "warn" : "plain");
  return (
    <>
      <div class="tiles">
        <Tile name="Sessions" link={hashOf("sessions", within)}>
          {sum(count, data?.total_sessions)}
        </Tile>
        <Tile name="Bytes sent">{sum(bytes, data?.total_bytes_sent)}</Tile>
        <Tile name="Bytes received">{sum(bytes, data?.total_bytes_received)}</Tile>
        <Tile
          name="Rejected"
          tone={tone(data?.rejected_sessions)}
          link={hashOf("rejections", { window: String(hours) })}
        >
          {sum(count, data?.rejected_sessions)}
        </Tile>
        <Tile
          name="Failed"
          tone={tone(data?.failed_sessions)}
          link={hashOf("sessions", { ...within, status: "failed" })}
        >
          {sum(count, data?.failed_sessions)}
        </Tile>
      </div>
      <div class="columns">
        <Top
          title="Top users by bytes"
          aside={<a href={hashOf("users", { window: String(hours) })}>All users</a>}
          heads={["User", "Bytes", "Sessions"]}
          rows={data?.top_users.map((user) => ({
            name: user.user,
            weight: user.bytes,
            figures: [bytes(user.bytes), count(user.sessions)],
            link: hashOf("users", { user: user.user, window: String(hours) }),
            empty: "(unknown)",
          }))}
        />
        <Top
          title="Top destinations by sessions"
          aside={<a href={hashOf("destinations", { window: String(hours) })}>All destinations</a>}
          heads={["Destination", "Sessions", "Bytes"]}
          rows={data?.top_destinations.map((dest) => ({
            name: dest.dest,
            weight: dest.sessions,
            figures: [count(dest.sessions), bytes(dest.bytes)],
            link: destinationLink(dest.dest, hours),
            title: destinationTitle(dest.dest),
          }))}
        />
      </div>
    </>
  );
}

/** The first of a ranking, in a place that is as large with fewer of them, or none yet. */
function Top({
  title,
  aside,
  heads,
  rows,
}: {
  title: string;
  aside: ComponentChildren;
  heads: readonly string[];
  rows: readonly Ranked[] | undefined;
}) {
  return (
    <Panel title={title} aside={aside}>
      <div class="top">
        {rows === undefined ? (
          <Skeleton rows={TOP} />
        ) : rows.length === 0 ? (
          <Empty title="No sessions in this window" />
        ) : (
          <Ranking label={title} heads={heads} rows={rows} />
        )}
      </div>
    </Panel>
  );
}

/** What is to be said of the ledger in a line. */
export function verdict({ status, storage, journal }: Health): { good: boolean; text: string } {
  if (journal.lost > 0) {
    const are = journal.lost === 1 ? "is" : "are";
    return { good: false, text: `${things(journal.lost, "session")} ${are} not recorded, nor will be.` };
  }
  if (status !== "ok") return { good: false, text: "Something needs an operator." };
  return {
    good: true,
    text: storage.engine === "off" ? "Sessions are not recorded." : "Every session is recorded.",
  };
}

/** Whether every session is, or will be, in the store. */
export function Ledger({ health }: { health: Health }) {
  const { storage, journal } = health;
  const { good, text } = verdict(health);
  const waits = journal.waiting_since == null ? null : tick.value - Date.parse(journal.waiting_since);
  return (
    <>
      <p class={`verdict ${good ? "good" : "bad"}`}>{text}</p>
      <dl class="facts">
        <div>
          <dt>Store</dt>
          <dd>
            {storage.engine}, {storage.status}
            {storage.degraded_since != null &&
              ` since ${ago(tick.value - Date.parse(storage.degraded_since))}`}
          </dd>
        </div>
        {storage.last_error != null && (
          <div>
            <dt>Store's error</dt>
            <dd class="bad">{storage.last_error}</dd>
          </div>
        )}
        <div>
          <dt>Waiting for the store</dt>
          <dd>
            {things(journal.queued, "session")}
            {waits !== null && waits > 2_000 && `, the oldest for ${duration(waits)}`}
          </dd>
        </div>
        <div>
          <dt>Final state not stored</dt>
          <dd>{things(journal.unsaved, "session")}</dd>
        </div>
        <div>
          <dt>Lost</dt>
          <dd class={journal.lost > 0 ? "bad" : ""}>{things(journal.lost, "session")}</dd>
        </div>
        <div>
          <dt>Journal</dt>
          <dd>
            {journal.status}, {bytes(journal.bytes)} of {bytes(journal.max_bytes)}
            {journal.replaying && ", replaying a former run"}
          </dd>
        </div>
        {journal.last_error != null && (
          <div>
            <dt>Journal's error</dt>
            <dd class="bad">{journal.last_error}</dd>
          </div>
        )}
      </dl>
    </>
  );
}
