import type { ComponentChildren } from "preact";
import { render } from "preact";
import { act } from "preact/test-utils";
import { beforeAll, beforeEach, expect, test } from "vitest";
import { listenForKeys, type PageKeys, usePageKeys } from "./keys";

const place = document.createElement("div");
let heard: string[];

beforeAll(listenForKeys);
beforeEach(() => {
  heard = [];
  show(null);
});

function Owner({ keys, children }: { keys: PageKeys; children?: ComponentChildren }) {
  usePageKeys(keys);
  return <>{children}</>;
}

function show(what: ComponentChildren): void {
  act(() => render(what, place));
}

/** Presses a key; gives what was heard of it. */
function press(key: string): string[] {
  heard = [];
  document.dispatchEvent(new KeyboardEvent("keydown", { key }));
  return heard;
}

const say = (word: string) => (): void => void heard.push(word);

test("nobody has keys of a page that is not there", () => {
  expect(press("p")).toEqual([]);
  show(<Owner keys={{ pause: say("page") }} />);
  expect(press("p")).toEqual(["page"]);
  show(null);
  expect(press("p")).toEqual([]);
});

test("the innermost owner has a key, and the former has it again afterwards", () => {
  const page = (inner: ComponentChildren) => <Owner keys={{ pause: say("outer") }}>{inner}</Owner>;
  show(page(<Owner keys={{ pause: say("inner") }} />));
  expect(press("p"), "mounted together").toEqual(["inner"]);
  show(page(null));
  expect(press("p")).toEqual(["outer"]);
  show(page(<Owner keys={{ pause: say("later") }} />));
  expect(press("p"), "mounted later").toEqual(["later"]);
});

test("owners beside each other share the keys, whichever is drawn again", () => {
  const page = (turn: string) => (
    <>
      <Owner keys={{ filter: say(`filter ${turn}`) }} />
      <Owner keys={{ next: say(`next ${turn}`) }} />
    </>
  );
  show(page("one"));
  show(page("two"));
  expect(press("/")).toEqual(["filter two"]);
  expect(press("j")).toEqual(["next two"]);
});
