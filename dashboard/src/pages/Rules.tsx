// The access rules as the server has them, and what they say to a question.
import { useEffect, useState } from "preact/hooks";
import { mayOperate } from "../api/login";
import { type Failure, failureText, type Outcome } from "../api/outcome";
import {
  type Reload,
  type Rule,
  type RuleQuestion,
  type Rules as RulesView,
  type RuleTest,
  reloadRules,
  rules,
  testRules,
} from "../api/server";
import { things, visible } from "../format";
import { say } from "../parts/Announcer";
import { freshen, useLoad } from "../parts/load";
import { Empty, Show, Trouble } from "../parts/State";
import { Name } from "../parts/Text";
import { Panel } from "../parts/Tile";
import { route, setParams } from "../routes";

export function Rules() {
  const asked = useLoad("rules", rules, "often");
  return (
    <div class="page">
      <div class="page-head">
        <h2>Access rules</h2>
        {mayOperate.value && <ReloadButton />}
      </div>
      <Panel title="Test">
        <TestForm />
      </Panel>
      <Show of={asked} rows={8}>
        {(data) => <RuleLists data={data} />}
      </Show>
    </div>
  );
}

function ReloadButton() {
  const [result, setResult] = useState<Outcome<Reload> | "no" | "busy">("no");
  const reload = async (): Promise<void> => {
    setResult("busy");
    const answer = await reloadRules();
    setResult(answer);
    say(reloadText(answer));
    freshen();
  };
  const text = result === "no" || result === "busy" ? "" : reloadText(result);
  return (
    <span class="reload">
      {text !== "" && (
        <span class={typeof result === "object" && result.kind !== "ok" ? "bad" : "quiet"}>
          {visible(text)}
        </span>
      )}
      <button type="button" onClick={() => void reload()} disabled={result === "busy"}>
        {result === "busy" ? "Reloading…" : "Reload rules"}
      </button>
    </span>
  );
}

function reloadText(answer: Outcome<Reload>): string {
  if (answer.kind !== "ok") return failureText(answer);
  const { changed, rules: many, users, groups } = answer.data;
  const what = `${things(many, "rule")}, ${things(users, "user")}, ${things(groups, "group")}`;
  return changed ? `Reloaded: ${what}.` : `Nothing has changed: ${what}.`;
}

type Answer =
  | { kind: "none" }
  | { kind: "busy" }
  | { kind: "answer"; test: RuleTest }
  | { kind: "failed"; failure: Failure };

/** The question in the URL, where it is whole. */
function questionIn(params: URLSearchParams): RuleQuestion | null {
  const dest = params.get("dest");
  const port = Number(params.get("port") ?? Number.NaN);
  if (dest === null || dest === "" || !Number.isInteger(port)) return null;
  const user = params.get("user");
  const address = params.get("address");
  return {
    dest,
    port,
    protocol: params.get("protocol") === "udp" ? "udp" : "tcp",
    ...(user === null ? {} : { user }),
    ...(address === null ? {} : { address }),
  };
}

function TestForm() {
  const { params } = route.value;
  const key = ["user", "dest", "address", "port", "protocol"]
    .map((name) => params.get(name) ?? "")
    .join("\n");
  const [answer, setAnswer] = useState<Answer>({ kind: "none" });
  const [turn, setTurn] = useState(0);

  // The key is the question's text.
  useEffect(() => {
    const question = questionIn(params);
    if (question === null) {
      setAnswer({ kind: "none" });
      return;
    }
    let dropped = false;
    setAnswer({ kind: "busy" });
    void testRules(question).then((outcome) => {
      if (dropped) return;
      if (outcome.kind === "ok") say(`${decisionText(outcome.data.decision)}.`);
      setAnswer(
        outcome.kind === "ok" ? { kind: "answer", test: outcome.data } : { kind: "failed", failure: outcome },
      );
    });
    return () => {
      dropped = true;
    };
  }, [key, turn]);

  return (
    <>
      <form
        key={key}
        class="test-form"
        onSubmit={(event) => {
          event.preventDefault();
          const form = new FormData(event.currentTarget);
          const value = (name: string): string => String(form.get(name) ?? "").trim();
          setParams(
            {
              user: value("user"),
              dest: value("dest"),
              address: value("address"),
              port: value("port"),
              protocol: value("protocol"),
              rule: null,
            },
            "push",
          );
          setTurn(turn + 1);
        }}
      >
        <label class="field">
          <span>User</span>
          <input
            name="user"
            maxLength={255}
            placeholder="the anonymous one"
            spellcheck={false}
            value={params.get("user") ?? ""}
          />
        </label>
        <label class="field grow">
          <span>Destination</span>
          <input
            name="dest"
            maxLength={255}
            required
            placeholder="name or address"
            spellcheck={false}
            value={params.get("dest") ?? ""}
          />
        </label>
        <label class="field">
          <span>Its address</span>
          <input
            name="address"
            maxLength={45}
            placeholder="where a name is asked for"
            spellcheck={false}
            value={params.get("address") ?? ""}
          />
        </label>
        <label class="field port">
          <span>Port</span>
          <input name="port" type="number" min={0} max={65535} required value={params.get("port") ?? "443"} />
        </label>
        <label class="field">
          <span>Protocol</span>
          <select name="protocol" value={params.get("protocol") ?? "tcp"}>
            <option value="tcp">tcp</option>
            <option value="udp">udp</option>
          </select>
        </label>
        <button type="submit" class="primary">
          Test
        </button>
      </form>
      <TestAnswer answer={answer} />
    </>
  );
}

function decisionText(decision: string): string {
  switch (decision) {
    case "allow":
      return "Allowed";
    case "block":
      return "Blocked";
    case "needs_address":
      return "The address decides that the name resolves to";
    default:
      return decision;
  }
}

function TestAnswer({ answer }: { answer: Answer }) {
  switch (answer.kind) {
    case "none":
      return <p class="quiet">Asks the rules without connecting: which one decides, and why.</p>;
    case "busy":
      return <p class="quiet">Asking…</p>;
    case "failed":
      return <Trouble text={failureText(answer.failure)} />;
    case "answer": {
      const { decision, rule, explanation, matches } = answer.test;
      const tone = decision === "allow" ? "good" : decision === "block" ? "bad" : "warn";
      return (
        <div class="test-answer">
          <p class={`verdict ${tone}`}>
            {decisionText(decision)}
            {rule != null && (
              <>
                {" "}
                by <Name text={rule} />
              </>
            )}
          </p>
          <p class="explanation">{visible(explanation).replaceAll("\\n", "\n")}</p>
          {matches.length > 0 && (
            <RuleTable label="Rules that match, the deciding one first" list={matches} chosen={null} />
          )}
        </div>
      );
    }
    default:
      return answer satisfies never;
  }
}

function RuleLists({ data }: { data: RulesView }) {
  const chosen = route.value.params.get("rule");
  if (!data.enabled) {
    return (
      <Empty title="The access rules are off">
        Everything is allowed. Set <code>acl.enabled</code> and <code>acl.config_file</code> to change that.
      </Empty>
    );
  }
  const own = data.users.filter((user) => user.rules.length > 0);
  const others = data.users.filter((user) => user.rules.length === 0);
  const lists = [
    ...own.map((user) => ({
      title: `User ${visible(user.username)}`,
      groups: user.groups,
      rules: user.rules,
    })),
    ...data.groups.map((group) => ({
      title: `Group ${visible(group.name)}`,
      groups: [],
      rules: group.rules,
    })),
  ];
  return (
    <>
      <p>
        Where no rule matches: <b>{data.default_policy ?? "–"}</b>. The rules have changed{" "}
        {things(data.generation, "time")} since the start.
      </p>
      {lists.length + others.length === 0 && <Empty title="There are no rules but the default policy" />}
      {lists.map((list) => (
        <Panel key={list.title} title={list.title} wide>
          {list.groups.length > 0 && (
            <p class="quiet">Also the rules of {list.groups.map(visible).join(", ")}.</p>
          )}
          {list.rules.length === 0 ? (
            <p class="quiet">No rules.</p>
          ) : (
            <RuleTable label={`Rules of ${list.title}`} list={list.rules} chosen={chosen} />
          )}
        </Panel>
      ))}
      {others.length > 0 && (
        <Panel title="Users without rules of their own" wide>
          <dl class="facts">
            {others.map((user) => (
              <div key={user.username}>
                <dt>
                  <Name text={user.username} />
                </dt>
                <dd>
                  {user.groups.length === 0
                    ? "in no group"
                    : `the rules of ${user.groups.map(visible).join(", ")}`}
                </dd>
              </div>
            ))}
          </dl>
        </Panel>
      )}
    </>
  );
}

function RuleTable({ label, list, chosen }: { label: string; list: readonly Rule[]; chosen: string | null }) {
  return (
    <div class="scroll-x" tabIndex={0} role="region" aria-label={label}>
      <table class="plain">
        <thead>
          <tr>
            <th scope="col">Action</th>
            <th scope="col">Rule</th>
            <th scope="col">Destinations</th>
            <th scope="col">Ports</th>
            <th scope="col">Protocols</th>
            <th scope="col" class="right">
              Priority
            </th>
            <th scope="col" class="right">
              Line
            </th>
          </tr>
        </thead>
        <tbody>
          {list.map((rule) => (
            <tr key={`${rule.line} ${rule.name}`} class={rule.name === chosen ? "chosen" : ""}>
              <td>
                <span class={`action ${rule.action === "allow" ? "good" : "bad"}`}>{rule.action}</span>
              </td>
              <td>
                <Name text={rule.name} />
              </td>
              <td class="wrap">{rule.destinations.map(visible).join(", ")}</td>
              <td>{rule.ports}</td>
              <td>{rule.protocols}</td>
              <td class="right">{rule.priority}</td>
              <td class="right">{rule.line}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
