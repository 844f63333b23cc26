// A ranking: names, a bar for the share of the largest, figures, and the way to the sessions behind it.
import type { ComponentChildren } from "preact";
import type { Loaded } from "./load";
import { Empty, Show } from "./State";
import { Name } from "./Text";
import { Panel } from "./Tile";

export interface Ranked {
  name: string;
  /** Decides the length of the bar. */
  weight: number;
  figures: readonly ComponentChildren[];
  link: string;
  /** What the link shows, where that is not as many. */
  title?: string;
  empty?: string;
  /** Whether the page shows more of this one. */
  chosen?: boolean;
}

export function Ranking({
  label,
  heads,
  rows,
}: {
  label: string;
  /** The name's heading, then one per figure. */
  heads: readonly string[];
  rows: readonly Ranked[];
}) {
  const most = Math.max(1, ...rows.map((row) => row.weight));
  return (
    <table class="ranking" aria-label={label}>
      <thead>
        <tr>
          {heads.map((head, index) => (
            <th key={head} scope="col" class={index === 0 ? "" : "right"}>
              {head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {/* By rank, not by name: where two change places, no line moves. */}
        {rows.map((row, rank) => (
          <tr key={rank}>
            <td class="ranked">
              <span class="bar" aria-hidden="true" style={{ width: `${(row.weight / most) * 100}%` }} />
              <a href={row.link} title={row.title} aria-current={row.chosen === true ? "true" : undefined}>
                <Name text={row.name} empty={row.empty ?? "(none)"} />
              </a>
            </td>
            {row.figures.map((figure, index) => (
              <td key={heads[index + 1]} class="right">
                {figure}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** A ranking of sessions in a window of time, as a panel. */
export function RankingPanel<T>({
  of,
  label,
  heads,
  rows,
}: {
  of: Loaded<T>;
  label: string;
  heads: readonly string[];
  rows: (data: T) => readonly Ranked[];
}) {
  const shown = (found: readonly Ranked[]): ComponentChildren =>
    found.length === 0 ? (
      <Empty title="No sessions in this window">
        Choose a longer one, or send traffic through the proxy.
      </Empty>
    ) : (
      <Ranking label={label} heads={heads} rows={found} />
    );
  return (
    <Panel title="Ranking">
      <Show of={of} rows={8}>
        {(data) => shown(rows(data))}
      </Show>
    </Panel>
  );
}
