/** The program as a process of its own, in a folder of its own, on ports of its own. */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

import { until } from "./until";

const PROGRAM = process.env.RUSTSOCKS ?? resolve(import.meta.dirname, "../../../target/debug/rustsocks");

/** Where a started program serves. */
interface Serving {
  socks: number;
  /** The address of the dashboard, with a slash at its end. */
  page: string;
  api: number;
}

/** A running proxy. `stop` it, and its folder is gone. */
export class Server {
  private constructor(
    private readonly config: string,
    readonly folder: string,
    private child: ChildProcess,
    private serving: Serving,
  ) {}

  /** Starts it with a configuration that says nothing about ports and paths, and with these files; `prepare` may add to its folder. */
  static async start(
    config = "",
    files: Record<string, string> = {},
    prepare: (folder: string) => void = () => {},
  ): Promise<Server> {
    const folder = await mkdtemp(join(tmpdir(), "rustsocks-e2e-"));
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
    prepare(folder);
    const [child, serving] = await launch(folder, config, { socks: 0, api: 0 });
    return new Server(config, folder, child, serving);
  }

  /** Starts it again on the same ports, after it has ended. */
  async restart(): Promise<void> {
    [this.child, this.serving] = await launch(this.folder, this.config, this.serving);
  }

  get socks(): number {
    return this.serving.socks;
  }

  /** The dashboard's address, with a slash at its end. */
  get page(): string {
    return this.serving.page;
  }

  /** Scheme, host and port of everything that a page may ask. */
  get origin(): string {
    return new URL(this.page).origin;
  }

  /** The ledger's file. */
  get database(): string {
    return join(this.folder, "data/sessions.db");
  }

  /** Asks the API, below the base path. */
  async get(path: string, headers: Record<string, string> = {}): Promise<unknown> {
    const answer = await fetch(new URL(path, this.page), { headers });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  /** Ends it with a signal and waits until it has ended. */
  async end(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((resume) => this.child.once("exit", resume));
    this.child.kill(signal);
    await ended;
  }

  /** Ends it and removes its folder. */
  async stop(): Promise<void> {
    await this.end("SIGKILL");
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** The configuration with ports, in sections that may be there already. */
function withPorts(config: string, ports: { socks: number; api: number }): string {
  const extra: [string, string][] = [
    ["[server]", `bind_port = ${ports.socks}\nshutdown_grace_secs = 0\n`],
    ["[sessions]", `stats_api_port = ${ports.api}\nbatch_interval_ms = 50\n`],
    ["[logging]", 'format = "json"\n'],
  ];
  return extra.reduce((text, [section, keys]) => {
    const lines = text.split("\n");
    const at = lines.findIndex((line) => line.trim() === section);
    return at < 0
      ? `${text}\n${section}\n${keys}`
      : [...lines.slice(0, at + 1), keys, ...lines.slice(at + 1)].join("\n");
  }, config);
}

async function launch(
  folder: string,
  config: string,
  ports: { socks: number; api: number },
): Promise<[ChildProcess, Serving]> {
  await writeFile(join(folder, "rustsocks.toml"), withPorts(config, ports));
  const child = spawn(PROGRAM, ["--config", "rustsocks.toml"], {
    cwd: folder,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const said: string[] = [];
  let serving: Serving | undefined;
  let failed: Error | undefined;
  child.once("error", (error) => {
    failed = error;
  });
  createInterface({ input: child.stderr }).on("line", (line) => {
    if (process.env.RUSTSOCKS_TEST_LOG) process.stderr.write(`${line}\n`);
    if (serving) return;
    said.push(line);
    serving = read(line);
  });
  const ready = await until("the proxy to serve", () => {
    if (failed) throw failed;
    if (child.exitCode !== null) throw new Error(`the proxy did not start: ${said.join("\n")}`);
    return serving;
  });
  return [child, ready];
}

/** The line of the log that tells where it serves. */
function read(line: string): Serving | undefined {
  let entry: unknown;
  try {
    entry = JSON.parse(line);
  } catch {
    return undefined;
  }
  const said = new Map(Object.entries(Object(entry)));
  if (said.get("message") !== "serving") return undefined;
  const page = new URL(String(said.get("api")));
  if (!page.pathname.endsWith("/")) page.pathname += "/";
  const socks = Number(String(said.get("socks")).split(":").pop());
  return { socks, page: page.href, api: Number(page.port) };
}
