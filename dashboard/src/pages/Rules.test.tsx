import { render } from "preact";
import { act } from "preact/test-utils";
import { expect, test, vi } from "vitest";
import { example } from "../example";
import { go } from "../routes";
import { whichRule } from "./Rejections";
import { Rules } from "./Rules";

/** What the test form asked the rules. */
async function asked(link: string): Promise<unknown> {
  const bodies: unknown[] = [];
  vi.stubGlobal("fetch", async (request: Request) => {
    if (request.url.endsWith("/api/acl/test")) bodies.push(await request.json());
    return Response.json({ decision: "block", explanation: "", matches: [], users: [], groups: [] });
  });
  const place = document.createElement("div");
  go(link);
  act(() => render(<Rules />, place));
  await vi.waitFor(() => expect(bodies).toHaveLength(1));
  act(() => render(null, place));
  return bodies[0];
}

test.each([
  ["good.test is 127.0.0.1", "127.0.0.1"],
  ["good.test is 2001:db8::1", "2001:db8::1"],
  ["good.test is 127.0.0.256", undefined],
  ["127.0.0.1 is not the end", undefined],
  [null, undefined],
])("a session refused with %j asks the rules about the address as well", async (close_detail, address) => {
  const session = example({ dest_host: "good.test", dest_port: 443, close_detail });
  const question = { user: "alice", dest: "good.test", port: 443, protocol: "tcp" };
  expect(await asked(whichRule(session))).toEqual(
    address === undefined ? question : { ...question, address },
  );
});
