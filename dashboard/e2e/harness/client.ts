/** A SOCKS5 client that writes its bytes one by one (RFC 1928, RFC 1929). */

import { once } from "node:events";
import { connect, isIP, type Socket } from "node:net";

import { REQUEST_HEAD } from "./target";

/** Who asks; nobody where there is no login. */
export interface Login {
  user: string;
  password: string;
}

/** A connection whose incoming bytes can be read by their number. */
class Line {
  private held = Buffer.alloc(0);
  private over = false;
  private wake: () => void = () => {};

  constructor(readonly socket: Socket) {
    socket.on("data", (chunk) => {
      this.held = Buffer.concat([this.held, chunk]);
      this.wake();
    });
    for (const event of ["close", "error"]) {
      socket.on(event, () => {
        this.over = true;
        this.wake();
      });
    }
  }

  async read(count: number): Promise<Buffer> {
    while (this.held.length < count) {
      if (this.over) throw new Error(`the connection ended after ${this.held.length} of ${count} bytes`);
      await new Promise<void>((resume) => {
        this.wake = resume;
      });
    }
    const bytes = this.held.subarray(0, count);
    this.held = this.held.subarray(count);
    return bytes;
  }

  async ended(): Promise<void> {
    while (!this.over) {
      await new Promise<void>((resume) => {
        this.wake = resume;
      });
    }
  }
}

/** A granted session. */
export class Client {
  private constructor(
    private readonly line: Line,
    /** The port that the session's record shows as its source. */
    readonly port: number,
  ) {}

  /** Asks for a target, and gives the session or the reply code of the refusal. */
  static async ask(
    socks: number,
    host: string | Buffer,
    port: number,
    login?: Login,
  ): Promise<Client | number> {
    const socket = connect(socks, "127.0.0.1");
    socket.setNoDelay(true);
    const line = new Line(socket);
    await once(socket, "connect");
    const source = socket.localPort ?? 0;
    socket.write(Buffer.from([5, 1, login ? 2 : 0]));
    const [, method] = await line.read(2);
    if (method !== (login ? 2 : 0)) throw new Error(`the proxy chose method ${method}`);
    if (login) {
      const [user, password] = [Buffer.from(login.user), Buffer.from(login.password)];
      socket.write(
        Buffer.concat([Buffer.from([1, user.length]), user, Buffer.from([password.length]), password]),
      );
      const [, status] = await line.read(2);
      if (status !== 0) {
        socket.destroy();
        return 0xff;
      }
    }
    const tail = Buffer.from([port >> 8, port & 255]);
    socket.write(Buffer.concat([Buffer.from([5, 1, 0]), address(host), tail]));
    const reply = await line.read(4);
    await line.read((reply[3] === 4 ? 16 : 4) + 2);
    if (reply[1] !== 0) {
      socket.destroy();
      return reply[1] ?? 0xff;
    }
    return new Client(line, source);
  }

  /** Asks for a target that is granted. */
  static async open(socks: number, host: string | Buffer, port: number, login?: Login): Promise<Client> {
    const client = await Client.ask(socks, host, port, login);
    if (typeof client === "number") throw new Error(`refused with ${client}`);
    return client;
  }

  /** Sends so many bytes and reads as many back. */
  async echo(count: number): Promise<void> {
    this.line.socket.write(Buffer.alloc(count, 7));
    await this.line.read(count);
  }

  /** Sends so many bytes to a target that answers as it is asked, and reads as many as it asked for. */
  async exchange(sent: number, received: number): Promise<void> {
    const request = Buffer.alloc(Math.max(REQUEST_HEAD, sent), 7);
    request.writeUInt32BE(request.length, 0);
    request.writeUInt32BE(received, 4);
    this.line.socket.write(request);
    await this.line.read(received);
  }

  /** Sends so many bytes and reads what comes back as it comes. */
  send(count: number): void {
    this.line.socket.write(Buffer.alloc(count, 7));
  }

  /** Waits until the proxy has ended the session. */
  ended(): Promise<void> {
    return this.line.ended();
  }

  /** Ends the session from this side. */
  close(): void {
    this.line.socket.destroy();
  }
}

/** A target's host in a request (RFC 1928 §5): an IPv4 address, or the bytes of a name. */
function address(host: string | Buffer): Buffer {
  if (typeof host === "string" && isIP(host) === 4) return Buffer.from([1, ...host.split(".").map(Number)]);
  const name = Buffer.from(host);
  return Buffer.concat([Buffer.from([3, name.length]), name]);
}
