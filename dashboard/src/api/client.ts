// The one client of the server's API, generated from its description. Nothing else calls `fetch`.
import createClient, { type Middleware } from "openapi-fetch";
import { csrfToken, loginNeeded } from "./login";
import type { paths } from "./schema";

/** Where the server's root is, wherever `base_path` puts it; without a slash at the end. */
export const root = new URL(".", document.baseURI).href.replace(/\/$/, "");

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
api.use(session);
