// A ranking: names, a bar for the share of the largest, figures, and the way to the sessions behind it.
import type { ComponentChildren } from "preact";
import { Name } from "./Text";

export interface Ranked {
  name: string;
  /** Decides the length of the bar. */
  weight: number;
  figures: readonly ComponentChildren[];
  link: string;
  empty?: string;
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
              <a href={row.link}>
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
