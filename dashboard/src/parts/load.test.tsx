import { render } from "preact";
import { act } from "preact/test-utils";
import { expect, test } from "vitest";
import type { Outcome } from "../api/outcome";
import { freshen, useLoad } from "./load";

const place = document.createElement("div");
/** The questions that were asked, in their order. */
const asked: { answer: (text: string) => void; signal: AbortSignal }[] = [];

function Reader({ name }: { name: string }) {
  const ask = (signal: AbortSignal): Promise<Outcome<string>> =>
    new Promise((resolve) => asked.push({ answer: (data) => resolve({ kind: "ok", data }), signal }));
  const { load } = useLoad(name, ask, "often");
  return <>{load.kind === "ready" ? load.data : load.kind}</>;
}

const show = (name: string): void => void act(() => render(<Reader name={name} />, place));
const beat = (): void => void act(freshen);
const answer = (which: number, text: string): Promise<void> =>
  act(async () => asked[which]?.answer(text)) ?? Promise.resolve();

test("an answer that takes longer than a beat comes all the same, and is asked for anew then", async () => {
  show("one");
  beat();
  beat();
  expect(asked).toHaveLength(1);
  expect(asked[0]?.signal.aborted).toBe(false);
  await answer(0, "slow");
  expect(place.textContent).toBe("slow");
  expect(asked).toHaveLength(2);
  await answer(1, "newer");
  expect(place.textContent).toBe("newer");
  expect(asked).toHaveLength(2);
  beat();
  expect(asked).toHaveLength(3);
  show("two");
  expect(asked).toHaveLength(4);
  expect(asked[2]?.signal.aborted, "nobody wants it any more").toBe(true);
  await answer(2, "late");
  expect(place.textContent).toBe("loading");
});
