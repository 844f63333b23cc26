/** A proxy, something to reach through it, and a browser: what every test file begins with. */

import type { Browser, BrowserContextOptions } from "playwright-core";

import { launch, Watched } from "./browser";
import { Client, type Login } from "./client";
import { Server } from "./proxy";
import { Names, Target } from "./target";

export class World {
  private readonly pages: Watched[] = [];
  private readonly clients: Client[] = [];

  private constructor(
    readonly proxy: Server,
    readonly target: Target,
    readonly names: Names,
    readonly browser: Browser,
  ) {}

  /** Starts all of it. Every name leads to the target's address. */
  static async start(config = "", files: Record<string, string> = {}): Promise<World> {
    const [target, names, browser] = await Promise.all([Target.start(), Names.start(), launch()]);
    const proxy = await Server.start(`${config}\n${names.config}`, files);
    return new World(proxy, target, names, browser);
  }

  /** Opens a view of the dashboard, such as `#/sessions`. */
  async open(view = "", options: BrowserContextOptions = {}): Promise<Watched> {
    const watched = await Watched.open(this.browser, this.proxy, view, options);
    this.pages.push(watched);
    return watched;
  }

  /** A session to this name at the target's port. */
  async session(name: string | Buffer, login?: Login): Promise<Client> {
    const client = await Client.open(this.proxy.socks, name, this.target.port, login);
    this.clients.push(client);
    return client;
  }

  /** Closes pages and sessions that a test left open; gives the faults of the pages. */
  async clear(): Promise<string[]> {
    const faults = this.pages.flatMap((watched) => watched.faults);
    for (const client of this.clients.splice(0)) client.close();
    for (const watched of this.pages.splice(0)) await watched.close();
    return faults;
  }

  async stop(): Promise<void> {
    await this.clear();
    await this.browser.close();
    await this.proxy.stop();
    await this.target.stop();
    this.names.stop();
  }
}
