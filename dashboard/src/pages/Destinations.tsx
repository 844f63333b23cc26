// Where sessions go.
import { stats } from "../api/server";
import { bytes, count, share } from "../format";
import { useLoad } from "../parts/load";
import { RankingPanel } from "../parts/Ranking";
import { WindowChoice, windowHours } from "../parts/window";
import { destinationLink, destinationTitle } from "./Overview";

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
      <RankingPanel
        of={ranked}
        label="Destinations by sessions"
        heads={["Destination", "Sessions", "Share", "Bytes"]}
        rows={(data) =>
          data.top_destinations.map((row) => ({
            name: row.dest,
            weight: row.sessions,
            figures: [count(row.sessions), share(row.sessions, data.total_sessions), bytes(row.bytes)],
            link: destinationLink(row.dest, hours),
            title: destinationTitle(row.dest),
          }))
        }
      />
    </div>
  );
}
