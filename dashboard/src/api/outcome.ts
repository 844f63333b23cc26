// What becomes of a question to the server: an answer, a refusal, or no connection.
import type { components } from "./schema";

export type Problem = components["schemas"]["Problem"];

/** Why there is no answer. */
export type Failure =
  /** The server answered with an error. `retryAfter` is in seconds, where the server names it. */
  | { kind: "refused"; status: number; detail: string; retryAfter: number | null }
  /** The server could not be reached. */
  | { kind: "offline" };

export type Outcome<T> = { kind: "ok"; data: T } | Failure;

interface Answer<T> {
  data?: T | undefined;
  error?: unknown;
  response: Response;
}

/** Turns the generated client's answer, or its exception, into an outcome. */
export async function outcome<T>(asked: Promise<Answer<T>>): Promise<Outcome<T>> {
  try {
    const { data, error, response } = await asked;
    if (response.ok && data !== undefined) return { kind: "ok", data };
    return refusal(response, error);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    return { kind: "offline" };
  }
}

/** The refusal that an answer other than 2xx stands for. */
export function refusal(response: Response, error: unknown): Failure {
  const wait = Number(response.headers.get("Retry-After") ?? Number.NaN);
  return {
    kind: "refused",
    status: response.status,
    detail: detailOf(error) ?? `the server answered ${response.status} ${response.statusText}`.trim(),
    retryAfter: Number.isFinite(wait) ? wait : null,
  };
}

function detailOf(error: unknown): string | null {
  if (typeof error !== "object" || error === null || !("detail" in error)) return null;
  return typeof error.detail === "string" ? error.detail : null;
}

/** A failure in words. */
export function failureText(failure: Failure): string {
  switch (failure.kind) {
    case "offline":
      return "The server cannot be reached.";
    case "refused":
      return failure.status === 404 && failure.detail.startsWith("the server answered")
        ? "This server does not have that."
        : sentence(failure.detail);
    default:
      return failure satisfies never;
  }
}

function sentence(text: string): string {
  // A file's or a parameter's name at the beginning is no word.
  const isWord = /^[a-z]+(?=[\s,:]|$)/.test(text);
  const first = isWord ? text.charAt(0).toUpperCase() + text.slice(1) : text;
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
