// Everything about one session.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { mayOperate } from "../../api/login";
import { destination, reasonText, type Session, statusText } from "../../api/session";
import { oneSession } from "../../api/sessions";
import { byteRate, count, duration, endpoint, visible } from "../../format";
import { live, type Row } from "../../live";
import { Copy } from "../../parts/Copy";
import { lasted } from "../../parts/lasted";
import { tick, useLoad } from "../../parts/load";
import { Show } from "../../parts/State";
import { Bytes, Lasted, Name, State, Time } from "../../parts/Text";
import { hashOf } from "../../routes";
import { whichRule } from "../Rejections";
import { EndDialog } from "./End";
import { rate } from "./order";

export function Drawer({ id, close }: { id: string; close: () => void }) {
  const element = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    element.current?.focus();
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  useEffect(() => {
    const leave = (event: KeyboardEvent): void => {
      if (event.key === "Escape" && document.querySelector("dialog[open]") === null) close();
    };
    document.addEventListener("keydown", leave);
    return () => document.removeEventListener("keydown", leave);
  }, [close]);
  return (
    <div class="drawer" role="dialog" aria-label="Session" tabIndex={-1} ref={element}>
      <header>
        <h2>Session</h2>
        <button type="button" class="bare" onClick={close} aria-label="Close">
          <span aria-hidden="true">✕</span>
        </button>
      </header>
      <Content key={id} id={id} />
    </div>
  );
}

/** From the live store while it is there, and from the server otherwise. */
function Content({ id }: { id: string }) {
  live.version.value;
  const row = live.row(id);
  const asked = useLoad(`${id} ${row === undefined}`, (signal) => oneSession(id, signal), "once");
  if (row !== undefined) return <Details session={row.session} row={row} />;
  return <Show of={asked}>{(session) => <Details session={session} row={null} />}</Show>;
}

function Details({ session, row }: { session: Session; row: Row | null }) {
  const [ending, setEnding] = useState(false);
  const dest = endpoint(destination(session), session.dest_port);
  const source = endpoint(session.source_ip, session.source_port);
  const runs = session.end_time == null;
  return (
    <div class="drawer-body">
      <p class="drawer-title">
        <Name text={session.user} empty="(unknown)" /> <span class="quiet">to</span> <Name text={dest} />
      </p>
      <p class="drawer-state">
        <State session={session} />
        {runs && mayOperate.value && (
          <button type="button" class="danger" onClick={() => setEnding(true)}>
            End session
          </button>
        )}
      </p>
      <Phases session={session} />
      <dl class="facts">
        <Fact name="User" link={hashOf("sessions", { show: shown(session), user: session.user })}>
          <Name text={session.user} empty="(unknown)" />
        </Fact>
        <Fact
          name="Destination"
          link={hashOf("sessions", { show: shown(session), dest: destination(session) })}
          copy={dest}
        >
          <Name text={dest} />
        </Fact>
        {session.dest_host != null && session.dest_ip !== session.dest_host && (
          <Fact name="Connected to">
            <Name text={endpoint(session.dest_ip, session.dest_port)} />
          </Fact>
        )}
        <Fact
          name="Source"
          link={hashOf("sessions", { show: shown(session), source_ip: session.source_ip })}
          copy={source}
        >
          <Name text={source} />
        </Fact>
        {session.egress_ip != null && (
          <Fact name="Egress">
            <Name text={endpoint(session.egress_ip, session.egress_port ?? 0)} />
          </Fact>
        )}
        <Fact name="Request">
          {session.command ?? "none"} over {session.protocol}
        </Fact>
        <Fact name="Started">
          <Time at={session.start_time} />
        </Fact>
        {session.end_time != null && (
          <Fact name="Ended">
            <Time at={session.end_time} />
          </Fact>
        )}
        <Fact name={runs ? "Running for" : "Lasted"}>
          <Lasted session={session} />
        </Fact>
        <Fact name="Sent">
          <Bytes count={session.bytes_sent} /> in {count(session.packets_sent)} packets
        </Fact>
        <Fact name="Received">
          <Bytes count={session.bytes_received} /> in {count(session.packets_received)} packets
        </Fact>
        {runs && row !== null && <RateFact row={row} />}
        <Fact name="Status">{statusText(session.status)}</Fact>
        {session.close_reason != null && (
          <Fact name="Reason">
            {reasonText(session.close_reason)} <code class="quiet">{session.close_reason}</code>
          </Fact>
        )}
        {session.close_detail != null && (
          <Fact name="Detail">
            <bdi>{visible(session.close_detail)}</bdi>
          </Fact>
        )}
        <RuleFact session={session} />
        <Fact name="Node">
          <Name text={session.node_id} />
        </Fact>
        <Fact name="Id" copy={session.session_id}>
          <code>{session.session_id}</code>
        </Fact>
        <Fact name="As of">
          <Time at={session.updated_at} />
        </Fact>
      </dl>
      <p class="drawer-foot">
        <Copy text={JSON.stringify(session, null, 2)} what="as JSON" label="Copy as JSON" />
        <Copy text={() => location.href} what="link" label="Copy link" />
      </p>
      {ending && <EndDialog wish={{ kind: "one", session }} close={() => setEnding(false)} />}
    </div>
  );
}

function shown(session: Session): string {
  return session.end_time == null ? "running" : "ended";
}

function Fact({
  name,
  children,
  link,
  copy,
}: {
  name: string;
  children: ComponentChildren;
  link?: string;
  copy?: string;
}) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        <span class="fact-value">{children}</span>
        {link && (
          <a class="small-link" href={link} aria-label={`Show all sessions with this ${name.toLowerCase()}`}>
            Show all
          </a>
        )}
        {copy && <Copy text={copy} what={name.toLowerCase()} />}
      </dd>
    </div>
  );
}

function RateFact({ row }: { row: Row }) {
  const quiet = rate(row, tick.value + live.clockOffset) === 0;
  return (
    <Fact name="Rate">
      {quiet ? "nothing moves" : `${byteRate(row.rateSent)} sent, ${byteRate(row.rateReceived)} received`}
    </Fact>
  );
}

function RuleFact({ session }: { session: Session }) {
  if (session.acl_decision == null) return <Fact name="Rule">access rules were off</Fact>;
  return (
    <Fact name="Rule">
      {session.acl_decision === "allow" ? "allowed by " : "blocked by "}
      <Name text={session.acl_rule_matched ?? ""} empty="an unnamed rule" />{" "}
      <a class="small-link" href={whichRule(session)}>
        Which rule decides?
      </a>
    </Fact>
  );
}

/** How the session's time was spent: until connected, and relaying. */
function Phases({ session }: { session: Session }) {
  const now = session.duration_ms == null ? tick.value + live.clockOffset : 0;
  const whole = lasted(session, Date.parse(session.start_time), now);
  const connect = Math.min(session.connect_ms ?? 0, whole);
  const relayed = session.status === "active" || session.status === "closed";
  const phases = [
    { name: "resolving and connecting", ms: session.connect_ms == null ? 0 : connect, tone: "connect" },
    relayed
      ? { name: "relaying", ms: whole - connect, tone: "relay" }
      : { name: "until it failed", ms: whole - connect, tone: "fail" },
  ].filter((phase) => phase.ms > 0);
  if (phases.length === 0) return null;
  const words = phases.map((phase) => `${phase.name} ${duration(phase.ms)}`).join(", ");
  return (
    <figure class="phases">
      <div class="phase-bar" role="img" aria-label={`Timing: ${words}`}>
        {phases.map((phase) => (
          <span
            key={phase.name}
            class={`phase ${phase.tone}`}
            style={{ flexGrow: phase.ms / Math.max(1, whole) }}
          />
        ))}
      </div>
      <figcaption>
        {phases.map((phase) => (
          <span key={phase.name} class="key">
            <span class={`swatch ${phase.tone}`} aria-hidden="true" />
            <span class="quiet">{phase.name}</span> {duration(phase.ms)}
          </span>
        ))}
      </figcaption>
    </figure>
  );
}
