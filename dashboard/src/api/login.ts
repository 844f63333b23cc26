// Who looks at the dashboard: the login's state. The requests themselves are in `auth.ts`.
import { computed, signal } from "@preact/signals";
import type { components } from "./schema";

export type Role = "read" | "operate";

export interface Visitor {
  /** Whether the server has logins at all. */
  authEnabled: boolean;
  user: string | null;
  role: Role;
  csrfToken: string | null;
  /** When the login ends, milliseconds since 1970; null where it does not. */
  expiresAt: number | null;
}

export type Login =
  | { kind: "asking" }
  | { kind: "in"; visitor: Visitor }
  /** `expired` tells that there was a login before. */
  | { kind: "out"; expired: boolean };

export const login = signal<Login>({ kind: "asking" });

/** Whether the visitor may end sessions and reload rules. */
export const mayOperate = computed(() => login.value.kind === "in" && login.value.visitor.role === "operate");

/** The token that requests which change something carry. */
export function csrfToken(): string | null {
  const now = login.peek();
  return now.kind === "in" ? now.visitor.csrfToken : null;
}

/** The server wants a login. */
export function loginNeeded(): void {
  const now = login.peek();
  if (now.kind === "out") return;
  login.value = { kind: "out", expired: now.kind === "in" && now.visitor.authEnabled };
}

/** The login as the server tells it. */
export function readVisitor(view: components["schemas"]["LoginView"]): Visitor {
  const expires = view.expires_at == null ? Number.NaN : Date.parse(view.expires_at);
  return {
    authEnabled: view.auth_enabled,
    user: view.user ?? null,
    // A role that is not known may do the least.
    role: view.role === "operate" ? "operate" : "read",
    csrfToken: view.csrf_token ?? null,
    expiresAt: Number.isNaN(expires) ? null : expires,
  };
}
