/** What the proxy connects to: a server that sends back what it gets, and names that lead to it. */

import { createSocket, type Socket as Datagrams } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";

/** What a target does with a connection. */
type Answers = (socket: Socket) => void;

function echo(socket: Socket): void {
  socket.pipe(socket);
}

/** The beginning of a request to a target that answers as it is asked: its length, its answer's length. */
export const REQUEST_HEAD = 8;

/** Answers each request with as many bytes as it wants. */
export function asAsked(socket: Socket): void {
  let held: Buffer = Buffer.alloc(0);
  let [left, answer] = [0, 0];
  socket.on("data", (chunk) => {
    held = Buffer.concat([held, chunk]);
    while (left > 0 || held.length >= REQUEST_HEAD) {
      if (left === 0) [left, answer] = [held.readUInt32BE(0), held.readUInt32BE(4)];
      const taken = Math.min(left, held.length);
      left -= taken;
      held = held.subarray(taken);
      if (left > 0) return;
      socket.write(Buffer.alloc(answer, 7));
    }
  });
}

/** A server on a loopback port, a free one where none is named; unless told otherwise it sends back what it gets. */
export class Target {
  private constructor(
    private readonly server: Server,
    private readonly open: Set<Socket>,
    readonly port: number,
  ) {}

  static async start(port = 0, answers: Answers = echo): Promise<Target> {
    const open = new Set<Socket>();
    const server = createServer({ allowHalfOpen: false }, (socket) => {
      open.add(socket);
      socket.setNoDelay(true);
      socket.on("close", () => open.delete(socket));
      // A session that is cut resets its target; that is no news here.
      socket.on("error", () => socket.destroy());
      answers(socket);
    });
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    return new Target(server, open, portOf(server.address()));
  }

  /** Ends every connection from this side. */
  hangUp(): void {
    for (const socket of this.open) socket.end();
  }

  async stop(): Promise<void> {
    for (const socket of this.open) socket.destroy();
    await new Promise((resume) => this.server.close(resume));
  }
}

function portOf(address: ReturnType<Server["address"]>): number {
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** A DNS server (RFC 1035 §4) that leads every name to 127.0.0.1, but for those it calls unknown. */
export class Names {
  private constructor(
    private readonly socket: Datagrams,
    readonly port: number,
  ) {}

  static async start(
    isUnknown: (name: string) => boolean = (name) => name.startsWith("unknown."),
  ): Promise<Names> {
    const socket = createSocket("udp4");
    socket.on("message", (query, from) => {
      const answer = answerTo(query, isUnknown);
      if (answer) socket.send(answer, from.port, from.address);
    });
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    return new Names(socket, socket.address().port);
  }

  /** The configuration that makes a proxy use it. */
  get config(): string {
    return `[dns]\nservers = ["127.0.0.1:${this.port}"]\n`;
  }

  stop(): void {
    this.socket.close();
  }
}

function answerTo(query: Buffer, isUnknown: (name: string) => boolean): Buffer | undefined {
  const labels: string[] = [];
  let at = 12;
  for (;;) {
    const length = query[at];
    if (length === undefined) return undefined;
    at += 1;
    if (length === 0) break;
    labels.push(query.subarray(at, at + length).toString("utf8"));
    at += length;
  }
  const kind = query.readUInt16BE(at);
  const unknown = isUnknown(labels.join(".").toLowerCase());
  const found = !unknown && kind === 1;
  // Response, recursion available; NXDOMAIN for an unknown name.
  const head = [0x81, unknown ? 0x83 : 0x80, 0, 1, 0, found ? 1 : 0, 0, 0, 0, 0];
  const record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1];
  const question = query.subarray(12, at + 4);
  return Buffer.concat([query.subarray(0, 2), Buffer.from(head), question, Buffer.from(found ? record : [])]);
}
