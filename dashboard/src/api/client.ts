// The one client of the server's API, generated from its description. Nothing else calls `fetch`.
import createClient, { type Middleware } from "openapi-fetch";
import { csrfToken, loginNeeded } from "./login";
import type { paths } from "./schema";

/** Where the server's root is, wherever `base_path` puts it; without a slash at the end. */
export const root = new URL(".", document.baseURI).href.replace(/\/$/, "");

/** An answer is waited for so long, milliseconds: a little longer than the server gives itself for one. */
export const ANSWER_LIMIT_MS = 35_000;

/** Bounds every question but the one whose answer is as long as the list of sessions. */
const limit: Middleware = {
  onRequest({ request, schemaPath }) {
    if (schemaPath === "/api/sessions/export") return undefined;
    const signal = AbortSignal.any([request.signal, AbortSignal.timeout(ANSWER_LIMIT_MS)]);
    return new Request(request, { signal });
  },
};

const session: Middleware = {
  onRequest({ request }) {
    const token = csrfToken();
    if (token !== null && request.method !== "GET") request.headers.set("X-CSRF-Token", token);
    return request;
  },
  onResponse({ response, schemaPath }) {
    if (response.status === 401 && schemaPath !== "/api/auth/login") loginNeeded();
  },
};

// `fetch` is looked up with each request, so that tests may put their own in its place.
export const api = createClient<paths>({
  baseUrl: root,
  credentials: "same-origin",
  fetch: (request) => globalThis.fetch(request),
});
api.use(session, limit);
