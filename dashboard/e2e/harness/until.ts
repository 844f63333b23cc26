/** Waiting for what happens in another process: asking again and again, never a fixed time. */

import type { Locator } from "playwright-core";

/** How long anything may take before a test calls it hung. */
export const PATIENCE = 30_000;

/** Asks until there is an answer other than `undefined` or `false`; fails after `PATIENCE`. */
export async function until<T>(
  what: string,
  ask: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (Date.now() > end) throw new Error(`waited too long for ${what}`);
    await new Promise((resume) => setTimeout(resume, 20));
  }
}

/** Waits until a part of a page shows this. */
export async function shows(part: Locator, text: string | RegExp): Promise<void> {
  let seen = "";
  const has = async (): Promise<boolean> => {
    seen = (await part.count()) === 0 ? "" : (await part.first().innerText()).replace(/\s+/g, " ");
    return typeof text === "string" ? seen.includes(text) : text.test(seen);
  };
  await until(`"${text}"`, has).catch((error: Error) => {
    throw new Error(`${error.message}; it shows: ${seen}`);
  });
}
