// The login form: in place of the page at first, over it when a login has ended.
import { useEffect, useRef, useState } from "preact/hooks";
import { logIn } from "../api/auth";
import { type Failure, failureText } from "../api/outcome";

export function LoginForm({ expired }: { expired: boolean }) {
  const name = useRef<HTMLInputElement>(null);
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);
  const [wait, setWait] = useState(0);

  useEffect(() => name.current?.focus(), []);
  useEffect(() => {
    if (wait <= 0) return;
    const timer = setTimeout(() => setWait(wait - 1), 1_000);
    return () => clearTimeout(timer);
  }, [wait]);

  const submit = async (form: FormData): Promise<void> => {
    setBusy(true);
    const answer = await logIn(String(form.get("username") ?? ""), String(form.get("password") ?? ""));
    setBusy(false);
    setFailure(answer);
    if (answer?.kind === "refused" && answer.status === 429) setWait(answer.retryAfter ?? 5);
  };

  return (
    <main class="login">
      <form
        aria-label="Log in"
        onSubmit={(event) => {
          event.preventDefault();
          if (!busy && wait === 0) void submit(new FormData(event.currentTarget));
        }}
      >
        <h1>RustSocks</h1>
        {expired && <p class="note warn">Your login has ended. Log in to go on where you were.</p>}
        <label class="field">
          <span>User name</span>
          <input
            ref={name}
            name="username"
            autocomplete="username"
            required
            maxLength={255}
            spellcheck={false}
            autocapitalize="none"
          />
        </label>
        <label class="field">
          <span>Password</span>
          <input name="password" type="password" autocomplete="current-password" required />
        </label>
        <p class="login-trouble bad" role="alert">
          {wait > 0
            ? `Too many tries. The next one is possible in ${wait} s.`
            : failure === null
              ? ""
              : failure.kind === "refused" && failure.status === 401
                ? "The user name or the password is wrong."
                : failureText(failure)}
        </p>
        <button type="submit" class="primary" disabled={busy || wait > 0}>
          {busy ? "Logging in…" : "Log in"}
        </button>
      </form>
    </main>
  );
}
