// Questions about sessions, and the wish to end them.
import { ANSWER_LIMIT_MS, api, root } from "./client";
import { type Failure, type Outcome, outcome, refusal } from "./outcome";
import type { paths } from "./schema";
import { parseSession, type Session } from "./session";

/** The filter that lists, export and terminate share. */
export type Query = NonNullable<paths["/api/sessions/history"]["get"]["parameters"]["query"]>;

type Get<P extends keyof paths> = paths[P] extends {
  get: { responses: { 200: { content: { "application/json": infer T } } } };
}
  ? T
  : never;

export type Page = Get<"/api/sessions/history">;
export type Terminated = Extract<
  paths["/api/sessions/terminate"]["post"]["responses"],
  { 200: unknown }
>[200]["content"]["application/json"];

export function history(query: Query, signal: AbortSignal): Promise<Outcome<Page>> {
  return outcome(api.GET("/api/sessions/history", { params: { query }, signal }));
}

export function oneSession(id: string, signal: AbortSignal): Promise<Outcome<Session>> {
  return outcome(api.GET("/api/sessions/{id}", { params: { path: { id } }, signal }));
}

/** Asks one session to end. */
export function terminate(id: string, reason: string | null): Promise<Outcome<Session>> {
  return outcome(api.POST("/api/sessions/{id}/terminate", { params: { path: { id } }, body: { reason } }));
}

/** Asks every running session that the filter finds to end, or only counts them. */
export function terminateMany(
  query: Query,
  body: { reason: string | null; dry_run: boolean; all: boolean; only?: string[] },
): Promise<Outcome<Terminated>> {
  return outcome(api.POST("/api/sessions/terminate", { params: { query }, body }));
}

/** Where the server gives what the filter finds as a file. */
export function exportUrl(query: Query, format: "csv" | "ndjson"): string {
  const params = new URLSearchParams({ format });
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null) params.set(name, String(value));
  }
  return `${root}/api/sessions/export?${params}`;
}

/** Where the stream of sessions is. */
export const streamUrl = `${root}/api/sessions/stream`;

/**
 * Reads every running session, handing them on in portions while they arrive, so that a hundred
 * thousand of them need not be in memory as text. Null when all were read.
 */
export async function readRunning(
  take: (sessions: Session[]) => void,
  signal: AbortSignal,
): Promise<Failure | null> {
  // It may take long as a whole, but not for its next part.
  const silence = new AbortController();
  let limit: ReturnType<typeof setTimeout> | undefined;
  const heard = (): void => {
    clearTimeout(limit);
    limit = setTimeout(() => silence.abort(), ANSWER_LIMIT_MS);
  };
  heard();
  try {
    const { data, error, response } = await api.GET("/api/sessions/export", {
      params: { query: { format: "ndjson", status: "active" } },
      parseAs: "stream",
      signal: AbortSignal.any([signal, silence.signal]),
    });
    if (!response.ok || !data) return refusal(response, error);
    await readLines(data, (sessions) => {
      heard();
      take(sessions);
    });
    return null;
  } catch (error) {
    if (signal.aborted) throw error;
    return { kind: "offline" };
  } finally {
    clearTimeout(limit);
  }
}

async function readLines(
  body: ReadableStream<Uint8Array>,
  take: (sessions: Session[]) => void,
): Promise<void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    const lines = (rest + decoder.decode(value, { stream: !done })).split("\n");
    rest = done ? "" : (lines.pop() ?? "");
    const sessions: Session[] = [];
    for (const line of lines) {
      const session = line === "" ? null : parseSession(line);
      if (session !== null) sessions.push(session);
    }
    if (sessions.length > 0) take(sessions);
    if (done) return;
  }
}
