// Who used how much, and when.
import { stats, type Usage, usage } from "../api/server";
import { bytes, count, share } from "../format";
import { Chart } from "../parts/Chart";
import { useLoad } from "../parts/load";
import { RankingPanel } from "../parts/Ranking";
import { Show } from "../parts/State";
import { Name } from "../parts/Text";
import { Panel } from "../parts/Tile";
import { WindowChoice, windowHours } from "../parts/window";
import { hashOf, route, setParams } from "../routes";

const TOP = 100;

export function Users() {
  const hours = windowHours();
  const { params } = route.value;
  const user = params.get("user");
  const ranked = useLoad(`${hours}`, (signal) => stats(hours, TOP, signal), "often");
  return (
    <div class="page">
      <div class="page-head">
        <h2>Users by bytes</h2>
        <WindowChoice />
      </div>
      <UsageOverTime user={user} hours={hours} />
      <RankingPanel
        of={ranked}
        label="Users by bytes"
        heads={["User", "Bytes", "Share", "Sessions"]}
        rows={(data) =>
          data.top_users.map((row) => ({
            name: row.user,
            weight: row.bytes,
            figures: [
              bytes(row.bytes),
              share(row.bytes, data.total_bytes_sent + data.total_bytes_received),
              count(row.sessions),
            ],
            link: hashOf("users", { ...Object.fromEntries(params), user: row.user }),
            empty: "(unknown)",
            chosen: row.user === user,
          }))
        }
      />
    </div>
  );
}

function UsageOverTime({ user, hours }: { user: string | null; hours: number }) {
  const { params } = route.value;
  const wanted = params.get("bucket");
  const bucket = wanted === "day" || (wanted === null && hours > 48) ? "day" : "hour";
  const asked = useLoad(
    `${user} ${bucket} ${hours}`,
    (signal) => {
      const from = new Date(Date.now() - hours * 3_600_000).toISOString();
      return usage({ ...(user === null ? {} : { user }), bucket, from }, signal);
    },
    "often",
  );
  const links = user === null ? null : { user, hours: String(hours) };
  return (
    <Panel
      title="Usage over time"
      aside={
        <span class="panel-tools">
          {links !== null && (
            <>
              <a href={hashOf("sessions", { user: links.user })}>Running sessions</a>
              <a href={hashOf("sessions", { show: "ended", ...links })}>Ended sessions</a>
              <button type="button" class="small" onClick={() => setParams({ user: null }, "push")}>
                Everybody
              </button>
            </>
          )}
          <span class="segments" role="group" aria-label="Bucket">
            {(["hour", "day"] as const).map((choice) => (
              <button
                key={choice}
                type="button"
                aria-pressed={bucket === choice}
                onClick={() => setParams({ bucket: choice }, "push")}
              >
                by {choice}
              </button>
            ))}
          </span>
        </span>
      }
    >
      <p class="subject">{user === null ? "Everybody together" : <Name text={user} empty="(unknown)" />}</p>
      <div class="usage">
        <Show of={asked} rows={4}>
          {(data) => <Buckets data={data} />}
        </Show>
      </div>
    </Panel>
  );
}

function Buckets({ data }: { data: Usage }) {
  const times = data.data.map((point) => Date.parse(point.start) / 1000);
  const sent = data.data.map((point) => point.bytes_sent);
  const received = data.data.map((point) => point.bytes_received);
  const sum = (list: readonly number[]): number => list.reduce((total, value) => total + value, 0);
  return (
    <>
      <Chart
        title={`Bytes by ${data.bucket}`}
        times={times}
        write={bytes}
        unit="bytes"
        height={180}
        lines={[
          { label: "sent", colour: "--sent", values: sent },
          { label: "received", colour: "--received", values: received },
        ]}
        form="bars"
      />
      <p class="quiet">
        In all {bytes(sum(sent))} sent and {bytes(sum(received))} received, booked when they flowed; days are
        those of UTC.
      </p>
    </>
  );
}
