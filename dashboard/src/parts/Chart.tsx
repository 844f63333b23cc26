// A chart of values over time, drawn by uPlot, with its reading written above it.
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { clock, moment } from "../format";
import { isDark } from "./theme";

export interface Line {
  label: string;
  /** A variable of the style sheet. */
  colour: "--sent" | "--received" | "--accent" | "--bad";
  values: readonly (number | null)[];
}

export interface ChartProps {
  title: string;
  /** Seconds since 1970, ascending. */
  times: readonly number[];
  lines: readonly Line[];
  write: (value: number) => string;
  /** Bars for sums over a bucket, lines for rates. */
  form?: "line" | "bars";
  height?: number;
}

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function options(props: ChartProps, width: number, read: (index: number | null) => void): uPlot.Options {
  const axis = {
    stroke: colour("--muted"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
  };
  const bars =
    props.form === "bars" && uPlot.paths.bars ? uPlot.paths.bars({ size: [0.7, 40], align: 1 }) : null;
  return {
    width,
    height: props.height ?? 150,
    legend: { show: false },
    padding: [8, 8, 0, 0],
    cursor: { y: false, points: { size: 6 } },
    scales: { y: { range: (_chart, _min, max) => [0, max > 0 ? max * 1.1 : 1] } },
    axes: [
      { ...axis, font: "11px system-ui", size: 26 },
      {
        ...axis,
        font: "11px system-ui",
        size: 72,
        values: (_chart, splits) => splits.map((value) => (value === null ? "" : props.write(value))),
      },
    ],
    series: [
      {},
      ...props.lines.map((line) => ({
        label: line.label,
        stroke: colour(line.colour),
        width: 1.5,
        points: { show: false },
        ...(bars === null ? {} : { paths: bars, fill: `${colour(line.colour)}88` }),
      })),
    ],
    hooks: { setCursor: [(chart) => read(chart.cursor.idx ?? null)] },
  };
}

function data(props: ChartProps): uPlot.AlignedData {
  return [[...props.times], ...props.lines.map((line) => [...line.values])];
}

export function Chart(props: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const [index, setIndex] = useState<number | null>(null);
  const dark = isDark.value;
  const shape = props.lines.map((line) => line.label).join();

  // Colours and lines are reasons to draw anew.
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const drawn = new uPlot(options(props, element.clientWidth, setIndex), data(props), element);
    chart.current = drawn;
    const watch = new ResizeObserver(() => {
      if (element.clientWidth !== drawn.width) {
        drawn.setSize({ width: element.clientWidth, height: props.height ?? 150 });
      }
    });
    watch.observe(element);
    return () => {
      watch.disconnect();
      drawn.destroy();
      chart.current = null;
    };
  }, [dark, shape]);

  useEffect(() => chart.current?.setData(data(props)), [props.times, props.lines]);

  const at = index ?? props.times.length - 1;
  const time = props.times[at];
  const reading = (line: Line): string => {
    const value = line.values[at];
    return value === null || value === undefined ? "–" : props.write(value);
  };
  const words = props.lines.map((line) => `${line.label} ${reading(line)}`).join(", ");
  return (
    <figure class="chart">
      <figcaption>
        <h3>{props.title}</h3>
        {props.lines.map((line) => (
          <span class="key" key={line.label}>
            <span class={`swatch ${line.colour.slice(2)}`} aria-hidden="true" />
            <span class="quiet">{line.label}</span> <b>{reading(line)}</b>
          </span>
        ))}
        <span class="quiet chart-time">
          {index !== null && time !== undefined
            ? moment(time * 1000, Date.now())
            : time !== undefined
              ? clock(time * 1000)
              : ""}
        </span>
      </figcaption>
      <div
        ref={place}
        class="plot"
        role="img"
        aria-label={`${props.title}: ${words === "" ? "no values" : words}`}
      />
    </figure>
  );
}
