import { render } from "preact";
import { act } from "preact/test-utils";
import { beforeEach, expect, test, vi } from "vitest";
import { login } from "../api/login";
import { example } from "../example";
import { live } from "../live";
import { go, hashOf } from "../routes";
import { Sessions } from "./Sessions";

const place = document.createElement("div");
document.body.append(place);
/** What the page asked the server. */
const asked = vi.fn<typeof globalThis.fetch>();
vi.stubGlobal("fetch", asked);

beforeEach(() => {
  act(() => render(null, place));
  asked
    .mockReset()
    .mockImplementation(async () => Response.json({ matched: 2, terminated: 0, sessions: [] }));
  const visitor = {
    authEnabled: false,
    user: null,
    role: "operate",
    csrfToken: null,
    expiresAt: null,
  } as const;
  login.value = { kind: "in", visitor };
  live.clear();
});

function press(name: string): void {
  const button = [...place.querySelectorAll("button")].find((one) => one.textContent === name);
  if (button === undefined) throw new Error(`no button ${name}`);
  act(() => button.click());
}

test("in a paused view, what is shown is ended and nothing that opened since", async () => {
  go(hashOf("sessions", { user: "alice" }));
  live.put("opened", example({ session_id: "shown" }));
  act(() => render(<Sessions />, place));
  press("Pause");
  live.put("opened", example({ session_id: "since" }));
  press("End shown…");
  await vi.waitFor(() => expect(place.querySelector("dialog")?.textContent).toContain("1 running session"));
  press("End session");
  await vi.waitFor(() => expect(asked).toHaveBeenCalled());
  const paths = asked.mock.calls.map(([request]) =>
    request instanceof Request ? new URL(request.url).pathname : "",
  );
  expect(paths).toEqual(["/api/sessions/shown/terminate"]);
});

test("an ended session that a later page has again stands once", async () => {
  const pages = [
    ["a", "b"],
    ["b", "c"],
  ];
  asked.mockImplementation(async (request) => {
    const page = request instanceof Request ? Number(new URL(request.url).searchParams.get("page")) : 0;
    const data = pages[page - 1]?.map((id) => example({ session_id: id, status: "closed" }));
    return Response.json({ data, total: 4, page, page_size: 2, total_pages: 2, next_cursor: null });
  });
  go(hashOf("sessions", { show: "ended", sort: "-bytes_sent", group: "user" }));
  act(() => render(<Sessions />, place));
  const summary = (): string => place.querySelector(".summary")?.textContent ?? "";
  await vi.waitFor(() => expect(summary()).toContain("3 among the first 3 of 4 ended sessions"));
});

test("a list of ended sessions is not up to date where ends may have been missed", async () => {
  asked.mockImplementation(async () =>
    Response.json({
      data: [example({ status: "closed" })],
      total: 1,
      page: 1,
      page_size: 500,
      total_pages: 1,
    }),
  );
  live.endList(new Set());
  go(hashOf("sessions", { show: "ended" }));
  act(() => render(<Sessions />, place));
  const summary = (): string => place.querySelector(".summary")?.textContent ?? "";
  await vi.waitFor(() => expect(summary()).toContain("1 ended sessionUp to date"));
  live.endList(new Set());
  await vi.waitFor(() => expect(summary()).toContain("1 ended sessionRefresh"));
});
