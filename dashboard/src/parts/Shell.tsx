// What is around every page: the way to the others, the connection's state, the visitor.
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { logOut } from "../api/auth";
import { login } from "../api/login";
import { ago, visible } from "../format";
import { live } from "../live";
import { hashOf, PAGES, pageTitle, route } from "../routes";
import { say } from "./Announcer";
import { showHelp } from "./keys";
import { tick } from "./load";
import { THEMES, theme } from "./theme";

export function Shell({ children, retry }: { children: ComponentChildren; retry: () => void }) {
  const { page } = route.value;
  useEffect(() => {
    document.title = `${pageTitle(page)} · RustSocks`;
  }, [page]);
  return (
    <div class="shell">
      <button type="button" class="skip" onClick={() => document.getElementById("content")?.focus()}>
        Skip to the content
      </button>
      <header class="side">
        <p class="brand">
          <img src="./icon.svg" alt="" width="20" height="20" /> RustSocks
        </p>
        <nav aria-label="Pages">
          <ul>
            {PAGES.map((name) => (
              <li key={name}>
                <a href={hashOf(name)} aria-current={name === page ? "page" : undefined}>
                  {pageTitle(name)}
                </a>
              </li>
            ))}
          </ul>
        </nav>
        <div class="side-foot">
          <ConnectionState retry={retry} />
          <Visitor />
          <div class="side-tools">
            <label class="inline">
              <span class="quiet-text">Theme</span>
              <select
                value={theme.value}
                onChange={(event) => {
                  const wanted = event.currentTarget.value;
                  theme.value = THEMES.find((name) => name === wanted) ?? "auto";
                }}
              >
                <option value="auto">Auto</option>
                <option value="light">Light</option>
                <option value="dark">Dark</option>
              </select>
            </label>
            <button
              type="button"
              class="small"
              onClick={() => showHelp(true)}
              aria-label="Keyboard shortcuts"
            >
              ?
            </button>
          </div>
        </div>
      </header>
      <main id="content" tabIndex={-1} aria-label={pageTitle(page)}>
        <h1 class="quiet-text">{pageTitle(page)}</h1>
        {children}
      </main>
    </div>
  );
}

/** Whether what is shown is live. */
function ConnectionState({ retry }: { retry: () => void }) {
  const state = live.connection.value;
  const kind = state.kind;
  useEffect(() => {
    if (kind === "lost") say("The connection to the server is lost. Trying again.");
    if (kind === "open") say("Connected.");
  }, [kind]);
  switch (kind) {
    case "open":
      return (
        <p class="connection good">
          <span class="dot" aria-hidden="true" /> Live
        </p>
      );
    case "idle":
    case "connecting":
      return (
        <p class="connection quiet">
          <span class="dot" aria-hidden="true" /> Connecting…
        </p>
      );
    case "lost":
      return (
        <p class="connection bad">
          <span class="dot" aria-hidden="true" /> Offline, lost {ago(tick.value - state.since)}; reconnecting…{" "}
          <button type="button" class="small" onClick={retry}>
            Retry now
          </button>
        </p>
      );
    default:
      return kind satisfies never;
  }
}

function Visitor() {
  const now = login.value;
  if (now.kind !== "in" || !now.visitor.authEnabled) return null;
  return (
    <p class="visitor">
      <span>
        <bdi class="name">{visible(now.visitor.user ?? "")}</bdi>{" "}
        <span class="badge">{now.visitor.role === "operate" ? "operator" : "read only"}</span>
      </span>
      <button type="button" class="small" onClick={() => void logOut()}>
        Log out
      </button>
    </p>
  );
}
