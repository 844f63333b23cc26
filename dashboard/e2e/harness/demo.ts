/** A week in the life of a small company's proxy: what it did so far, and what it does now. The same each time. */

import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { Client } from "./client";

/** Numbers in [0, 1) that are the same in every run (mulberry32). */
export function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Users, and how often each asks for something. */
const USERS: readonly [name: string, weight: number][] = [
  ["alice", 9],
  ["bob", 6],
  ["carol", 5],
  ["ci-runner", 14],
  ["backup", 3],
  ["grafana", 8],
  ["dmitri", 2],
  ["zoë", 2],
];

/** Destinations, how often each is asked for, and the bytes that go there and come back. */
const DESTINATIONS: readonly [name: string, weight: number, sent: number, received: number][] = [
  ["registry.example.com", 12, 4_000, 6_000_000],
  ["api.example.com", 16, 9_000, 40_000],
  ["git.example.org", 9, 60_000, 1_500_000],
  ["cdn.example.net", 11, 2_000, 900_000],
  ["vault-backup.example.net", 2, 30_000_000, 20_000],
  ["metrics.example.org", 7, 120_000, 8_000],
  ["mail.example.com", 4, 300_000, 90_000],
  ["chat.example.com", 6, 5_000, 12_000],
  ["docs.example.org", 3, 2_000, 250_000],
];

/** What the rules refuse, and by which of them. */
const REFUSED: readonly [user: string, name: string, rule: string][] = [
  ["ci-runner", "telemetry.ads.example", "no trackers"],
  ["bob", "telemetry.ads.example", "no trackers"],
  ["dmitri", "payroll.internal.example", "payroll is for finance"],
  ["grafana", "chat.example.com", "machines do not chat"],
];

export const RULES = `[global]
default_policy = "allow"

[[groups]]
name = "staff"

[[groups.rules]]
action = "block"
description = "no trackers"
destinations = ["*.ads.example"]
ports = ["*"]
protocols = ["both"]
priority = 100

[[groups.rules]]
action = "allow"
description = "web and mail"
destinations = ["*.example.com", "*.example.org", "*.example.net"]
ports = ["1024-65535"]
protocols = ["tcp"]
priority = 10

[[groups]]
name = "machines"

[[groups.rules]]
action = "block"
description = "machines do not chat"
destinations = ["chat.example.com"]
ports = ["*"]
protocols = ["both"]
priority = 100

[[groups.rules]]
action = "block"
description = "no trackers"
destinations = ["*.ads.example"]
ports = ["*"]
protocols = ["both"]
priority = 50

${USERS.map(([name]) => {
  const group = ["ci-runner", "backup", "grafana"].includes(name) ? "machines" : "staff";
  const own =
    name === "dmitri"
      ? `\n[[users.rules]]\naction = "block"\ndescription = "payroll is for finance"\ndestinations = ["payroll.internal.example"]\nports = ["*"]\nprotocols = ["both"]\npriority = 500\n`
      : "";
  return `[[users]]\nusername = "${name}"\ngroups = ["${group}"]\n${own}`;
}).join("\n")}`;

/** The configuration that the demo runs with; the name server's part comes to it. */
export const CONFIG = `[auth]
socks_method = "userpass"
${USERS.map(([name]) => `[[auth.users]]\nusername = "${name}"\npassword = "demo"\n`).join("")}
[acl]
enabled = true
config_file = "acl.toml"
[sessions]
node_id = "gateway-1"
[server.pool]
enabled = true
`;

function pick<T extends readonly [unknown, ...unknown[]]>(
  list: readonly T[],
  weight: (entry: T) => number,
  roll: number,
): T {
  let left = roll * list.reduce((sum, entry) => sum + weight(entry), 0);
  for (const entry of list) {
    left -= weight(entry);
    if (left < 0) return entry;
  }
  throw new Error("a list to pick from is never empty");
}

/** Writes a week of ended sessions into a file of the published schema, which the program brings up to date. */
export function writePast(folder: string, sessions = 6_000): void {
  const roll = dice(5);
  const now = Date.now();
  const rows: string[] = [];
  const text = (value: string): string => `'${value.replaceAll("'", "''")}'`;
  for (let number = 0; number < sessions; number += 1) {
    // More by day than by night, more today than a week ago.
    let ago = roll() ** 1.6 * 7 * 86_400_000;
    const hour = new Date(now - ago).getUTCHours();
    if ((hour < 6 || hour > 20) && roll() < 0.7) ago = Math.max(0, ago - 9 * 3_600_000);
    const start = now - ago - 60_000;
    const fate = roll();
    let [user] = pick(USERS, ([, weight]) => weight, roll());
    let [dest, , sent, received] = pick(DESTINATIONS, ([, weight]) => weight, roll());
    let [status, reason, rule, decision] = ["closed", "client_closed", "web and mail", "allow"];
    const size = 0.2 + roll() * 2;
    [sent, received] = [Math.round(sent * size), Math.round(received * size)];
    let lasted = Math.round(1 + roll() ** 3 * 900);
    if (fate < 0.05) {
      [user, dest, rule] = REFUSED[Math.floor(roll() * REFUSED.length)] ?? REFUSED[0] ?? ["", "", ""];
      [status, reason, decision] = ["rejected_by_acl", "rejected_by_acl", "block"];
      [sent, received, lasted] = [0, 0, 0];
    } else if (fate < 0.09) {
      [status, reason] = ["failed", roll() < 0.5 ? "connect_refused" : "dns_failed"];
      [sent, received, lasted] = [0, 0, 0];
    } else if (fate < 0.35) {
      reason = "destination_closed";
    }
    const id = `0190${number.toString(16).padStart(4, "0")}-0000-7000-8000-${number.toString(16).padStart(12, "0")}`;
    const [from, to] = [start, Math.min(start + lasted * 1000, now)].map((ms) =>
      text(new Date(ms).toISOString().replace("Z", "+00:00")),
    );
    rows.push(
      `(${text(id)},${text(user)},${from},${to},${lasted},'10.0.${1 + Math.floor(roll() * 3)}.${10 + Math.floor(roll() * 80)}',` +
        `${30_000 + Math.floor(roll() * 20_000)},${text(dest)},8443,'tcp',${sent},${received},` +
        `${Math.ceil(sent / 1400)},${Math.ceil(received / 1400)},'${status}','${reason}',${text(rule)},'${decision}')`,
    );
  }
  mkdirSync(join(folder, "data"));
  const schema = `CREATE TABLE sessions (session_id TEXT PRIMARY KEY, user TEXT NOT NULL, start_time TEXT NOT NULL,
    end_time TEXT, duration_secs INTEGER, source_ip TEXT NOT NULL, source_port INTEGER NOT NULL,
    dest_ip TEXT NOT NULL, dest_port INTEGER NOT NULL, protocol TEXT NOT NULL, bytes_sent INTEGER NOT NULL,
    bytes_received INTEGER NOT NULL, packets_sent INTEGER NOT NULL, packets_received INTEGER NOT NULL,
    status TEXT NOT NULL, close_reason TEXT, acl_rule_matched TEXT, acl_decision TEXT);`;
  execFileSync("sqlite3", [join(folder, "data/sessions.db")], {
    input: `${schema}\nINSERT INTO sessions VALUES\n${rows.join(",\n")};\n`,
  });
}

/** Traffic to a target that answers as it is asked, until it is stopped: so many sessions at once, each with its own pace. */
export class Traffic {
  private going = true;
  private readonly lanes: Promise<void>[];

  constructor(
    private readonly socks: number,
    private readonly port: number,
    atOnce: number,
  ) {
    this.lanes = Array.from({ length: atOnce }, (_, lane) => this.run(dice(1_000 + lane)));
  }

  async stop(): Promise<void> {
    this.going = false;
    await Promise.all(this.lanes);
  }

  private async run(roll: () => number): Promise<void> {
    while (this.going) {
      await pause(roll() * 2_500);
      const fate = roll();
      const [user] = pick(USERS, ([, weight]) => weight, roll());
      const [dest, , sent, received] = pick(DESTINATIONS, ([, weight]) => weight, roll());
      if (fate < 0.04) {
        const [refused, name] = REFUSED[Math.floor(roll() * REFUSED.length)] ?? ["", ""];
        await Client.ask(this.socks, name, this.port, { user: refused, password: "demo" });
        continue;
      }
      const name = fate < 0.06 ? "unknown.example.org" : dest;
      const client = await Client.ask(this.socks, name, this.port, { user, password: "demo" });
      if (typeof client === "number") continue;
      const rounds = 3 + Math.floor(roll() * 60);
      for (let round = 0; round < rounds && this.going; round += 1) {
        const share = roll() / 40;
        await client.exchange(Math.round(100 + sent * share), Math.round(100 + received * share));
        await pause(roll() * 900);
      }
      client.close();
    }
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resume) => setTimeout(resume, ms));
}
