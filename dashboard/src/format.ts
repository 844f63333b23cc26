// How values are written for people: bytes, rates, times, names. Pure functions, no elements.

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/** Bytes in binary units with three significant digits: `0 B`, `1.50 KiB`, `234 MiB`. */
export function bytes(count: number): string {
  let value = Math.max(0, count);
  let unit = 0;
  // 1023.5 would round to "1024 KiB".
  while (value >= 1023.5 && unit < BYTE_UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${BYTE_UNITS[unit] ?? "B"}`;
}

/** Bytes per second. */
export function byteRate(perSecond: number): string {
  return `${bytes(perSecond)}/s`;
}

const grouped = new Intl.NumberFormat(undefined);

/** A whole number with the reader's thousands separators. */
export function count(value: number): string {
  return grouped.format(Math.round(value));
}

/** A number of things with its noun: `1 session`, `2 sessions`. */
export function things(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** Something per second: `0`, `0.25`, `12.3`, `1,234`. */
export function perSecond(value: number): string {
  if (value >= 99.95) return count(value);
  return String(Number(value.toFixed(value >= 9.995 ? 1 : 2)));
}

/** A part of a whole: `0 %`, `<1 %`, `37 %`. */
export function share(part: number, whole: number): string {
  if (whole <= 0 || part <= 0) return "0 %";
  const percent = (part / whole) * 100;
  return percent < 1 ? "<1 %" : `${Math.round(percent)} %`;
}

/** Milliseconds as a length of time: `12 ms`, `3.4 s`, `5m 06s`, `2h 05m`, `3d 04h`. */
export function duration(ms: number): string {
  const value = Math.max(0, ms);
  if (value < 1000) return `${Math.round(value)} ms`;
  if (value < 9_950) return `${(value / 1000).toFixed(1)} s`;
  const seconds = Math.round(value / 1000);
  if (seconds < 60) return `${seconds} s`;
  const two = (part: number): string => String(part).padStart(2, "0");
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${two(seconds % 60)}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)}h ${two(minutes % 60)}m`;
  const hours = Math.floor(minutes / 60);
  return `${Math.floor(hours / 24)}d ${two(hours % 24)}h`;
}

const pad = (part: number, width = 2): string => String(part).padStart(width, "0");

/** The local time of day: `14:03:09`. */
export function clock(ms: number): string {
  const at = new Date(ms);
  return `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}

/** The local date: `2026-01-02`. */
export function day(ms: number): string {
  const at = new Date(ms);
  return `${pad(at.getFullYear(), 4)}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
}

/** The local time, with the date where it is not today's. */
export function moment(ms: number, now: number): string {
  if (Number.isNaN(ms)) return "unknown";
  return day(ms) === day(now) ? clock(ms) : `${day(ms)} ${clock(ms)}`;
}

/** The same instant in UTC, to the millisecond, as the ledger stores it. */
export function utc(ms: number): string {
  return Number.isNaN(ms) ? "unknown" : new Date(ms).toISOString().replace("T", " ").replace("Z", " UTC");
}

/** How long ago: `just now`, `12 s ago`, `5 min ago`, `3 h ago`, `2 days ago`. */
export function ago(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 2) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${things(Math.floor(seconds / 86_400), "day")} ago`;
}

/**
 * Text from outside, safe to show: control characters and those that turn the direction of text are
 * written as escapes, so that no name can disguise itself as another.
 */
export function visible(text: string): string {
  // Nearly every name; the pattern below takes twenty times as long.
  if (/^[ -~]*$/.test(text)) return text;
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (found) => {
    if (found === "\u200d") return found; // Joins emoji; invisible alone, but turns nothing.
    switch (found) {
      case "\n":
        return "\\n";
      case "\r":
        return "\\r";
      case "\t":
        return "\\t";
      default:
        return `\\u{${(found.codePointAt(0) ?? 0).toString(16)}}`;
    }
  });
}

/** A host and a port; IPv6 in brackets. */
export function endpoint(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Takes a host and a port apart; null where the text is not of that form. */
export function splitEndpoint(text: string): { host: string; port: number } | null {
  const found = /^(?:\[([^\]]+)\]|(.+)):(\d{1,5})$/s.exec(text);
  const host = found?.[1] ?? found?.[2];
  const port = Number(found?.[3]);
  return host === undefined || port > 65_535 ? null : { host, port };
}

/** The address that a text ends in; empty where it ends in none. */
export function addressAtEnd(text: string): string {
  const last = text.split(" ").at(-1) ?? "";
  if (last.includes(":")) return URL.canParse(`http://[${last}]/`) ? last : "";
  // An address of fewer parts is one to a browser, but not to the server.
  const isWhole = /^\d+\.\d+\.\d+\.\d+$/.test(last) && URL.canParse(`http://${last}/`);
  return isWhole && new URL(`http://${last}/`).hostname === last ? last : "";
}
