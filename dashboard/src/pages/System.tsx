// How the process is, and how it is set up.
import type { ComponentChildren } from "preact";
import { root } from "../api/client";
import { type Config, config, health, type Pool, pool, type Resources, resources } from "../api/server";
import { bytes, count, duration, share, things, visible } from "../format";
import { useLoad } from "../parts/load";
import { Empty, Show } from "../parts/State";
import { Name } from "../parts/Text";
import { Panel } from "../parts/Tile";
import { Ledger } from "./Overview";

export function System() {
  const state = useLoad("health", health, "often");
  const used = useLoad("resources", resources, "often");
  const spares = useLoad("pool", pool, "often");
  const setup = useLoad("config", config, "once");
  return (
    <div class="page">
      <div class="page-head">
        <h2>System</h2>
        <span class="panel-tools">
          <a href={`${root}/health`}>/health</a>
          <a href={`${root}/metrics`}>/metrics</a>
          <a href={`${root}/api/openapi.json`}>API description</a>
        </span>
      </div>
      <div class="columns">
        <Panel title="Health">
          <Show of={state}>
            {(data) => (
              <>
                <Ledger health={data} />
                <dl class="facts">
                  <Fact name="Version">{data.version}</Fact>
                  <Fact name="Up for">{duration(data.uptime_secs * 1000)}</Fact>
                  <Fact name="Active sessions">{count(data.active_sessions)}</Fact>
                  <Fact name="Batches saved">{count(data.storage.batches)}</Fact>
                  <Fact name="Failed tries">{count(data.storage.failures)}</Fact>
                  {data.storage.quarantined != null && (
                    <Fact name="Damaged database moved to">
                      <bdi>{visible(data.storage.quarantined)}</bdi>
                    </Fact>
                  )}
                  <Fact name="In the journal alone">{things(data.journal.spilled, "session")}</Fact>
                </dl>
              </>
            )}
          </Show>
        </Panel>
        <div class="stack">
          <Panel title="Resources">
            <Show of={used}>{(data) => <ResourceFacts data={data} />}</Show>
          </Panel>
          <Panel title="Connection pool">
            <Show of={spares}>{(data) => <PoolFacts data={data} />}</Show>
          </Panel>
        </div>
      </div>
      <Panel title="Configuration as loaded" wide>
        <Show of={setup} rows={8}>
          {(data) => <Settings data={data} />}
        </Show>
      </Panel>
    </div>
  );
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function ResourceFacts({ data }: { data: Resources }) {
  return (
    <dl class="facts">
      <Fact name="Memory of the process">{bytes(data.resident_bytes)}</Fact>
      <Fact name="Memory of the machine">
        {bytes(data.memory_available_bytes)} of {bytes(data.memory_total_bytes)} available
      </Fact>
      <Fact name="Open files">
        {count(data.open_fds)} of {count(data.max_fds)}{" "}
        <span class="quiet">{share(data.open_fds, data.max_fds)}</span>
      </Fact>
      <Fact name="Threads">{count(data.threads)}</Fact>
      <Fact name="Processor time">{duration(data.cpu_seconds * 1000)}</Fact>
      <Fact name="Load of the last minute">
        {data.load_1m.toFixed(2)} on {things(data.cores, "core")}
      </Fact>
    </dl>
  );
}

function PoolFacts({ data }: { data: Pool }) {
  if (!data.enabled) {
    return (
      <Empty title="The pool is off">
        Set <code>server.pool.enabled</code> to keep warm connections ahead.
      </Empty>
    );
  }
  return (
    <>
      <dl class="facts">
        <Fact name="Spares now">
          {count(data.idle)} of {count(data.max_total_idle)}
        </Fact>
        <Fact name="Opened">{count(data.opened)}</Fact>
        <Fact name="Handed out">{count(data.reused)}</Fact>
        <Fact name="Expired">{count(data.expired)}</Fact>
        <Fact name="Closed by the other side">{count(data.dropped)}</Fact>
        <Fact name="Evicted">{count(data.evicted)}</Fact>
      </dl>
      {data.destinations.length > 0 && (
        <ul class="plain-list">
          {data.destinations.map((row) => (
            <li key={row.dest}>
              <Name text={row.dest} /> <span class="quiet">{things(row.idle, "spare")}</span>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

function Settings({ data }: { data: Config }) {
  return (
    <>
      <p class="quiet">
        {data.file == null ? "No file: the defaults." : `From ${visible(data.file)}.`} Secrets are shown as
        ***.
      </p>
      <div class="settings">
        {Object.entries(data.settings).map(([section, values]) => (
          <section key={section} aria-label={section}>
            <h3>[{section}]</h3>
            <dl class="facts code">
              {Object.entries(values).map(([key, value]) => (
                <Fact key={key} name={key}>
                  <bdi>{settingText(value)}</bdi>
                </Fact>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </>
  );
}

function settingText(value: unknown): string {
  return typeof value === "string" ? visible(value) : visible(JSON.stringify(value) ?? "");
}
