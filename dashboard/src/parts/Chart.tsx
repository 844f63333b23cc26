// A chart of values over time, drawn by uPlot, with its reading written above it.
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { clock, day, moment, utc } from "../format";
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
  /** The unit decides where the axis has its lines: powers of two, or whole numbers. */
  unit: "bytes" | "count";
  /** Bars for sums over a bucket, lines for rates. */
  form?: "line" | "bars";
  height?: number;
}

const HEIGHT = 150;

/** Steps between the lines of an axis. */
const STEPS = {
  bytes: [1, 2 ** 10, 2 ** 20, 2 ** 30, 2 ** 40, 2 ** 50].flatMap((unit) =>
    [1, 2, 5, 10, 20, 50, 100, 200, 500].map((step) => step * unit),
  ),
  count: [
    0.1,
    0.2,
    0.5,
    ...[1, 10, 100, 1e3, 1e4, 1e5, 1e6].flatMap((unit) => [1, 2, 5].map((step) => step * unit)),
  ],
};
/** The least top of an axis. */
const LEAST = { bytes: 1024, count: 4 };
/** Letters that an axis has place for at least, so that it does not move the lines: `1.00 MiB/s`, `12.5`. */
const LETTERS = { bytes: 10, count: 4 };

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** The least span of time that a line chart shows, seconds. */
const LEAST_SPAN = 300;

/** From when to when the chart shows. */
function span({ times, form }: ChartProps): [number, number] {
  const first = times[0] ?? Date.now() / 1000;
  const last = times.at(-1) ?? first;
  if (form !== "bars") return [Math.min(first, last - LEAST_SPAN), last];
  // A bar stands on the time that follows its beginning.
  const step = times.length > 1 ? (times[1] ?? 0) - first : 3_600;
  return [first, last + step];
}

/** Whether each point is a day; those of the ledger are days of UTC. */
function isDaily({ form, times }: ChartProps): boolean {
  const [first = 0, second = 0] = times;
  return form === "bars" && second - first >= 86_400;
}

/** When a point was: a day, or the local time. */
function pointTime(time: number, props: ChartProps): string {
  return isDaily(props) ? utc(time * 1000).slice(0, 10) : moment(time * 1000, Date.now());
}

/** Local times for the axis; dates where it shows days. */
function timeLabels(splits: readonly number[], daily: boolean): string[] {
  const days = daily || (splits.at(-1) ?? 0) - (splits[0] ?? 0) > 2 * 86_400;
  const date = (at: number): string => (daily ? utc(at * 1000).slice(5, 10) : day(at * 1000).slice(5));
  const labels = splits.map((at) => (days ? date(at) : clock(at * 1000).slice(0, 5)));
  // Where ticks are closer than days, a date stands once.
  return labels.map((label, index) => (days && label === labels[index - 1] ? "" : label));
}

function options(
  props: ChartProps,
  latest: () => ChartProps,
  width: number,
  read: (index: number | null) => void,
): uPlot.Options {
  const axis = {
    stroke: colour("--muted"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
  };
  const bars =
    props.form === "bars" && uPlot.paths.bars ? uPlot.paths.bars({ size: [0.7, 40], align: 1 }) : null;
  return {
    width,
    height: props.height ?? HEIGHT,
    legend: { show: false },
    tzDate: (at) => {
      const date = new Date(at * 1000);
      return isDaily(latest()) ? uPlot.tzDate(date, "UTC") : date;
    },
    padding: [8, 18, 0, 0],
    cursor: { y: false, points: { size: 6 } },
    scales: {
      x: { range: () => span(latest()) },
      y: { range: (_chart, _min, max) => [0, Math.max(LEAST[props.unit], (max ?? 0) * 1.1)] },
    },
    axes: [
      {
        ...axis,
        font: "11px system-ui",
        size: 26,
        values: (_chart, splits) => timeLabels(splits, isDaily(latest())),
      },
      {
        ...axis,
        font: "11px system-ui",
        size: (_chart, values) =>
          16 + 6.3 * Math.max(LETTERS[props.unit], ...(values ?? []).map((value) => value.length)),
        incrs: STEPS[props.unit],
        values: (_chart, splits) => splits.map((value) => (value === null ? "" : props.write(value))),
      },
    ],
    series: [
      {},
      ...(bars === null ? props.lines : [...props.lines].reverse()).map((line) => ({
        label: line.label,
        stroke: colour(line.colour),
        width: 1.5,
        points: { show: false },
        ...(bars === null ? {} : { paths: bars, fill: colour(line.colour), width: 0 }),
      })),
    ],
    hooks: { setCursor: [(chart) => read(chart.cursor.idx ?? null)] },
  };
}

/** Bars stand on each other, so each is as high as itself and those below; the highest is drawn first. */
function data(props: ChartProps): uPlot.AlignedData {
  const times = [...props.times];
  if (props.form !== "bars") return [times, ...props.lines.map((line) => [...line.values])];
  const sums = times.map(() => 0);
  const stacked = props.lines.map((line) =>
    times.map((_, at) => {
      sums[at] = (sums[at] ?? 0) + (line.values[at] ?? 0);
      return sums[at] ?? 0;
    }),
  );
  return [times, ...stacked.reverse()];
}

export function Chart(props: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const [index, setIndex] = useState<number | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const dark = isDark.value;
  const shape = props.lines.map((line) => line.label).join();
  const isEmpty = props.times.length === 0;
  const shown = useRef<readonly number[] | null>(null);

  // Colours and lines are reasons to draw anew. An empty chart would only be in the way of what comes first.
  useEffect(() => {
    const element = place.current;
    if (element === null || isEmpty) return;
    const drawn = new uPlot(
      options(props, () => latest.current, element.clientWidth, setIndex),
      data(props),
      element,
    );
    chart.current = drawn;
    shown.current = props.times;
    const watch = new ResizeObserver(() => {
      if (element.clientWidth !== drawn.width) {
        drawn.setSize({ width: element.clientWidth, height: props.height ?? HEIGHT });
      }
    });
    watch.observe(element);
    return () => {
      watch.disconnect();
      drawn.destroy();
      chart.current = null;
    };
  }, [dark, shape, isEmpty]);

  // The values are those of the times.
  useEffect(() => {
    if (shown.current !== props.times) chart.current?.setData(data(props));
    shown.current = props.times;
  }, [props.times]);

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
        <h2>{props.title}</h2>
        {props.lines.map((line) => (
          <span class={`key ${props.unit}`} key={line.label}>
            <span class={`swatch ${line.colour.slice(2)}`} aria-hidden="true" />
            <span class="quiet">{line.label}</span> <b>{reading(line)}</b>
          </span>
        ))}
        {(index !== null || props.form === "bars") && time !== undefined && (
          <span class="quiet chart-time">{pointTime(time, props)}</span>
        )}
      </figcaption>
      <div
        ref={place}
        class="plot"
        style={{ minHeight: `${props.height ?? HEIGHT}px` }}
        role="img"
        aria-label={`${props.title}: ${words === "" ? "no values" : words}`}
      />
    </figure>
  );
}
