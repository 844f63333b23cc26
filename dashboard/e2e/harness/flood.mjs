// A server that speaks the API's shapes about sessions that do not exist: so many at once, so many
// events per second. Started as a process of its own, it prints its port.
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";

const ROWS = Number(process.env.ROWS ?? 100_000);
const EVENTS = Number(process.env.EVENTS ?? 2_000);
const TICK_MS = 20;
const DIST = new URL("../../dist/", import.meta.url).pathname;
const KINDS = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

let made = 0;
const sessions = new Map();

function open() {
  made += 1;
  const now = new Date().toISOString().replace("Z", "+00:00");
  const session = {
    session_id: `01900000-0000-7000-8000-${made.toString(16).padStart(12, "0")}`,
    user: `user-${(made * 7919) % 2_000}`,
    start_time: now,
    end_time: null,
    duration_secs: null,
    duration_ms: null,
    source_ip: `10.${(made >> 16) & 255}.${(made >> 8) & 255}.${made & 255}`,
    source_port: 1024 + (made % 60_000),
    dest_ip: `192.0.2.${made % 254}`,
    dest_port: 443,
    dest_host: `host-${(made * 104_729) % 5_000}.example.com`,
    protocol: "tcp",
    command: "connect",
    bytes_sent: 0,
    bytes_received: 0,
    packets_sent: 0,
    packets_received: 0,
    status: "active",
    close_reason: null,
    close_detail: null,
    acl_rule_matched: "web and mail",
    acl_decision: "allow",
    egress_ip: "198.51.100.7",
    egress_port: 20_000 + (made % 40_000),
    connect_ms: made % 90,
    node_id: "gateway-1",
    updated_at: now,
  };
  sessions.set(session.session_id, session);
  return session;
}

const ids = [];
for (let row = 0; row < ROWS; row += 1) ids.push(open().session_id);

const listeners = new Set();
let sent = 0;

function event(name, session) {
  sent += 1;
  return `id: ${sent}\nevent: ${name}\ndata: ${JSON.stringify(session)}\n\n`;
}

let began = performance.now();
let due = 0;
setInterval(() => {
  if (listeners.size === 0) {
    began = performance.now();
    due = 0;
    return;
  }
  const wanted = ((performance.now() - began) / 1000) * EVENTS;
  let text = "";
  for (; due < wanted; due += 1) {
    const slot = Math.floor(Math.random() * ids.length);
    const session = sessions.get(ids[slot]);
    session.updated_at = new Date().toISOString().replace("Z", "+00:00");
    if (due % 20 === 0) {
      Object.assign(session, {
        status: "closed",
        close_reason: "client_closed",
        end_time: session.updated_at,
      });
      text += event("ended", session);
      sessions.delete(session.session_id);
      const next = open();
      ids[slot] = next.session_id;
      text += event("opened", next);
      due += 1;
      continue;
    }
    session.bytes_sent += 1_500;
    session.bytes_received += 40_000;
    session.packets_sent += 1;
    session.packets_received += 30;
    text += event("updated", session);
  }
  for (const listener of listeners) listener.write(text);
}, TICK_MS);

function json(answer, status, value) {
  answer.writeHead(status, {
    "content-type": status < 400 ? "application/json" : "application/problem+json",
  });
  answer.end(JSON.stringify(value));
}

const server = createServer((request, answer) => {
  const { pathname } = new URL(request.url, "http://localhost");
  if (pathname === "/api/auth/session") {
    const nobody = { auth_enabled: false, user: null, role: "operate", csrf_token: null, expires_at: null };
    json(answer, 200, nobody);
  } else if (pathname === "/api/sessions/stream") {
    answer.writeHead(200, { "content-type": "text/event-stream" });
    answer.write(": hello\n\n");
    listeners.add(answer);
    request.on("close", () => listeners.delete(answer));
  } else if (pathname === "/api/sessions/export") {
    answer.writeHead(200, { "content-type": "application/x-ndjson" });
    for (const session of sessions.values()) answer.write(`${JSON.stringify(session)}\n`);
    answer.end();
  } else {
    const file = join(DIST, pathname === "/" ? "index.html" : pathname);
    if (!existsSync(file)) {
      json(answer, 404, { type: "about:blank", title: "Not Found", status: 404, detail: "not here" });
      return;
    }
    answer.writeHead(200, { "content-type": KINDS[extname(file)] ?? "application/octet-stream" });
    answer.end(readFileSync(file));
  }
});
server.listen(0, "127.0.0.1", () => process.stdout.write(`${server.address().port}\n`));
