// Logging in and out.
import { api } from "./client";
import { login, loginNeeded, readVisitor } from "./login";
import { type Failure, outcome, refusal } from "./outcome";

/** Asks who the visitor is; without an answer nothing changes. */
export async function askLogin(): Promise<Failure | null> {
  const answer = await outcome(api.GET("/api/auth/session"));
  switch (answer.kind) {
    case "ok":
      login.value = { kind: "in", visitor: readVisitor(answer.data) };
      return null;
    case "refused":
      if (answer.status === 401) {
        loginNeeded();
        return null;
      }
      return answer;
    case "offline":
      return answer;
    default:
      return answer satisfies never;
  }
}

/** Logs in; null when it worked. */
export async function logIn(username: string, password: string): Promise<Failure | null> {
  const answer = await outcome(api.POST("/api/auth/login", { body: { username, password } }));
  if (answer.kind !== "ok") return answer;
  login.value = { kind: "in", visitor: readVisitor(answer.data) };
  return null;
}

/** Logs out; null when it worked. */
export async function logOut(): Promise<Failure | null> {
  try {
    const { response, error } = await api.POST("/api/auth/logout");
    if (!response.ok && response.status !== 401) return refusal(response, error);
    login.value = { kind: "out", expired: false };
    return null;
  } catch {
    return { kind: "offline" };
  }
}
