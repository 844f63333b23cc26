// What was refused and what failed, and why.
import { type Failures, failures } from "../api/server";
import { destination, reasonText, type Session } from "../api/session";
import { history } from "../api/sessions";
import { addressAtEnd, count, endpoint, share, things } from "../format";
import { useLoad } from "../parts/load";
import { Ranking } from "../parts/Ranking";
import { Empty, Show } from "../parts/State";
import { Name, Time } from "../parts/Text";
import { Panel, Tile } from "../parts/Tile";
import { WindowChoice, windowHours } from "../parts/window";
import { hashOf } from "../routes";
import { destinationLink } from "./Overview";

export function Rejections() {
  const hours = windowHours();
  const sums = useLoad(`${hours}`, (signal) => failures(hours, 10, signal), "often");
  const newest = useLoad(
    `${hours}`,
    (signal) => history({ status: "rejected_by_acl", hours, page_size: 20 }, signal),
    "often",
  );
  return (
    <div class="page">
      <div class="page-head">
        <h2>Rejections and failures</h2>
        <WindowChoice />
      </div>
      <Show of={sums} rows={8}>
        {(data) => <Sums data={data} hours={hours} />}
      </Show>
      <Panel title="Newest rejections" wide>
        <Show of={newest} rows={6}>
          {({ data }) =>
            data.length === 0 ? (
              <Empty title="Nothing was rejected in this window" />
            ) : (
              <RejectionTable sessions={data} />
            )
          }
        </Show>
      </Panel>
    </div>
  );
}

function Sums({ data, hours }: { data: Failures; hours: number }) {
  const within = { show: "ended", hours: String(hours) };
  const both = data.rejected_sessions + data.failed_sessions;
  const figures = (sessions: number) => [count(sessions), share(sessions, both)];
  const panels = [
    {
      title: "By reason",
      head: "Reason",
      rows: data.by_reason.map((row) => ({
        name: reasonText(row.name),
        weight: row.sessions,
        figures: figures(row.sessions),
        link: hashOf("sessions", { ...within, close_reason: row.name }),
      })),
    },
    {
      title: "By rule",
      head: "Rule",
      rows: data.by_rule.map((row) => ({
        name: row.name,
        weight: row.sessions,
        figures: figures(row.sessions),
        link: hashOf("rules", { rule: row.name }),
      })),
    },
    {
      title: "By user",
      head: "User",
      rows: data.by_user.map((row) => ({
        name: row.name,
        weight: row.sessions,
        figures: figures(row.sessions),
        link: hashOf("sessions", { ...within, user: row.name }),
        empty: "(unknown)",
      })),
    },
    {
      title: "By destination",
      head: "Destination",
      rows: data.by_destination.map((row) => ({
        name: row.name,
        weight: row.sessions,
        figures: figures(row.sessions),
        link: destinationLink(row.name, hours),
      })),
    },
  ];
  return (
    <>
      <div class="tiles">
        <Tile name="Rejected by a rule" link={hashOf("sessions", { ...within, status: "rejected_by_acl" })}>
          {count(data.rejected_sessions)}
        </Tile>
        <Tile name="Failed" link={hashOf("sessions", { ...within, status: "failed" })}>
          {count(data.failed_sessions)}
        </Tile>
      </div>
      {both === 0 ? (
        <Empty title="Nothing was rejected and nothing failed in this window" />
      ) : (
        <div class="columns">
          {panels.map((panel) => (
            <Panel key={panel.title} title={panel.title}>
              {panel.rows.length === 0 ? (
                <p class="quiet">None.</p>
              ) : (
                <Ranking label={panel.title} heads={[panel.head, "Sessions", "Share"]} rows={panel.rows} />
              )}
            </Panel>
          ))}
        </div>
      )}
    </>
  );
}

/** The way to the test form, filled in with what was asked for. */
export function whichRule(session: Session): string {
  return hashOf("rules", {
    user: session.user,
    dest: destination(session),
    port: String(session.dest_port),
    protocol: session.protocol,
    // Where a rule for addresses refused a name, the detail tells which address it was.
    address: session.dest_host == null ? "" : addressAtEnd(session.close_detail ?? ""),
    rule: session.acl_rule_matched ?? "",
  });
}

function RejectionTable({ sessions }: { sessions: readonly Session[] }) {
  return (
    <div class="scroll-x" tabIndex={0} role="region" aria-label={things(sessions.length, "rejection")}>
      <table class="plain">
        <thead>
          <tr>
            <th scope="col">When</th>
            <th scope="col">User</th>
            <th scope="col">Destination</th>
            <th scope="col">Rule</th>
            <th scope="col">
              <span class="quiet-text">Why</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {sessions.map((session) => (
            <tr key={session.session_id}>
              <td>
                <Time at={session.start_time} />
              </td>
              <td>
                <Name text={session.user} empty="(unknown)" />
              </td>
              <td>
                <a
                  href={hashOf("sessions", {
                    show: "ended",
                    status: "rejected_by_acl",
                    session: session.session_id,
                  })}
                >
                  <Name text={endpoint(destination(session), session.dest_port)} />
                </a>
              </td>
              <td>
                <Name text={session.acl_rule_matched ?? ""} empty="–" />
              </td>
              <td>
                <a href={whichRule(session)}>Which rule decides?</a>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
