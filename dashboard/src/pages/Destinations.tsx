// Where sessions go.
import { stats } from "../api/server";
import { bytes, count, share } from "../format";
import { useLoad } from "../parts/load";
import { Ranking } from "../parts/Ranking";
import { Empty, Show } from "../parts/State";
import { Panel } from "../parts/Tile";
import { WindowChoice, windowHours } from "../parts/window";
import { destinationLink } from "./Overview";

const TOP = 100;

export function Destinations() {
  const hours = windowHours();
  const ranked = useLoad(`${hours}`, (signal) => stats(hours, TOP, signal), "often");
  return (
    <div class="page">
      <div class="page-head">
        <h2>Destinations by sessions</h2>
        <WindowChoice />
      </div>
      <Panel title="Ranking">
        <Show of={ranked} rows={8}>
          {(data) =>
            data.top_destinations.length === 0 ? (
              <Empty title="No sessions in this window">
                Choose a longer one, or send traffic through the proxy.
              </Empty>
            ) : (
              <Ranking
                label="Destinations by sessions"
                heads={["Destination", "Sessions", "Share", "Bytes"]}
                rows={data.top_destinations.map((row) => ({
                  name: row.dest,
                  weight: row.sessions,
                  figures: [count(row.sessions), share(row.sessions, data.total_sessions), bytes(row.bytes)],
                  link: destinationLink(row.dest, hours),
                }))}
              />
            )
          }
        </Show>
      </Panel>
    </div>
  );
}
