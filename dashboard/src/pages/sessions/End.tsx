// Ending sessions: first what it would end, then the reason, then the act.
import { useState } from "preact/hooks";
import { failureText, type Outcome } from "../../api/outcome";
import { destination, type Session } from "../../api/session";
import { terminate, terminateMany } from "../../api/sessions";
import { endpoint, things } from "../../format";
import { say } from "../../parts/Announcer";
import { Dialog } from "../../parts/Dialog";
import { freshen, useLoad } from "../../parts/load";
import { Show, Trouble } from "../../parts/State";
import { Bytes, Name } from "../../parts/Text";
import { type Filter, startedBefore, toQuery } from "./filter";

/** What shall end. */
export type Wish =
  | { kind: "one"; session: Session }
  /** What the server finds by the filter. */
  | { kind: "filter"; filter: Filter }
  /** These, for a filter that the server does not know. */
  | { kind: "listed"; sessions: readonly Session[] };

interface Preview {
  matched: number;
  /** All of them, or the first. */
  sessions: readonly Session[];
  /** They all started before this time. */
  start_before?: string | null;
}

/** Sessions named in the preview. */
const NAMED = 8;
/** Requests under way at once, where sessions are ended one by one. */
const AT_ONCE = 6;

export function EndDialog({ wish, close }: { wish: Wish; close: () => void }) {
  const preview = useLoad<Preview>("preview", () => look(wish), "once");
  const [reason, setReason] = useState("");
  const [doing, setDoing] = useState<{ kind: "no" } | { kind: "busy" } | { kind: "failed"; text: string }>({
    kind: "no",
  });

  const end = async (shown: Preview): Promise<void> => {
    setDoing({ kind: "busy" });
    const answer = await act(wish, shown, reason.trim() === "" ? null : reason.trim());
    if (answer.kind === "ok") {
      say(`${things(answer.data, "session")} of ${shown.matched} asked to end.`);
      freshen();
      close();
    } else {
      setDoing({ kind: "failed", text: failureText(answer) });
    }
  };

  return (
    <Dialog title={wish.kind === "one" ? "End session" : "End sessions"} close={close}>
      <Show of={preview} rows={3}>
        {({ matched, sessions, start_before }) => (
          <form
            class="end-form"
            onSubmit={(event) => {
              event.preventDefault();
              if (matched > 0) void end({ matched, sessions, start_before });
            }}
          >
            <p>
              {matched === 0 ? (
                "No running session is found by this filter."
              ) : (
                <>
                  This ends <b>{things(matched, "running session")}</b>. Their connections are cut at once.
                </>
              )}
            </p>
            <ul class="end-list">
              {sessions.slice(0, NAMED).map((session) => (
                <li key={session.session_id}>
                  <Name text={session.user} empty="(unknown)" /> <span class="quiet">to</span>{" "}
                  <Name text={endpoint(destination(session), session.dest_port)} />{" "}
                  <span class="quiet">
                    <Bytes count={session.bytes_sent + session.bytes_received} />
                  </span>
                </li>
              ))}
              {matched > NAMED && <li class="quiet">and {things(matched - NAMED, "other")}</li>}
            </ul>
            <label class="field">
              <span>Reason, for the record</span>
              <input
                type="text"
                maxLength={1000}
                value={reason}
                onInput={(event) => setReason(event.currentTarget.value)}
                placeholder="for example: abuse report 4711"
              />
            </label>
            {doing.kind === "failed" && <Trouble text={doing.text} />}
            <div class="buttons">
              <button type="button" onClick={close}>
                Cancel
              </button>
              <button type="submit" class="danger" disabled={matched === 0 || doing.kind === "busy"}>
                {doing.kind === "busy"
                  ? "Ending…"
                  : matched === 1
                    ? "End session"
                    : `End ${things(matched, "session")}`}
              </button>
            </div>
          </form>
        )}
      </Show>
    </Dialog>
  );
}

/** What would end. */
async function look(wish: Wish): Promise<Outcome<Preview>> {
  switch (wish.kind) {
    case "one":
      return { kind: "ok", data: { matched: 1, sessions: [wish.session] } };
    case "listed":
      return { kind: "ok", data: { matched: wish.sessions.length, sessions: wish.sessions } };
    case "filter":
      return terminateMany(toQuery(wish.filter), { reason: null, dry_run: true, all: true });
    default:
      return wish satisfies never;
  }
}

/** Ends them; the answer is how many were asked to. */
async function act(wish: Wish, shown: Preview, reason: string | null): Promise<Outcome<number>> {
  switch (wish.kind) {
    case "one":
      return oneByOne([wish.session], reason);
    case "listed":
      return oneByOne(wish.sessions, reason);
    case "filter": {
      // What has opened or come to suit since the preview is not meant.
      const wanted = { reason, dry_run: false, all: true };
      const query = toQuery(wish.filter);
      const answer = await (shown.sessions.length === shown.matched
        ? terminateMany(query, { ...wanted, only: shown.sessions.map((session) => session.session_id) })
        : terminateMany(startedBefore(query, shown.start_before), wanted));
      return answer.kind === "ok" ? { kind: "ok", data: answer.data.terminated } : answer;
    }
    default:
      return wish satisfies never;
  }
}

/** One that has ended meanwhile is no failure; any other failure stops the rest. */
async function oneByOne(sessions: readonly Session[], reason: string | null): Promise<Outcome<number>> {
  const left = [...sessions];
  let ended = 0;
  let failed: Exclude<Outcome<number>, { kind: "ok" }> | null = null;
  const work = async (): Promise<void> => {
    for (let session = left.pop(); session !== undefined && failed === null; session = left.pop()) {
      const answer = await terminate(session.session_id, reason);
      if (answer.kind === "ok") ended += 1;
      else if (answer.kind === "offline" || (answer.status !== 404 && answer.status !== 409)) failed = answer;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return failed ?? { kind: "ok", data: ended };
}
