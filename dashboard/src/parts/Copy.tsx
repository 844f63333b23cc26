// A button that copies a text.
import { useState } from "preact/hooks";
import { say } from "./Announcer";

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/** Pages over plain HTTP have no clipboard but this. */
function copyBySelection(text: string): boolean {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "off-screen";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

export function Copy({
  text,
  what,
  label = "Copy",
}: {
  /** What to copy, or how to tell it at the click. */
  text: string | (() => string);
  what: string;
  label?: string;
}) {
  const [done, setDone] = useState<"no" | "yes" | "failed">("no");
  const words = done === "yes" ? "Copied" : done === "failed" ? "Not copied" : label;
  return (
    <button
      type="button"
      class="small"
      aria-label={done === "no" ? `Copy ${what}` : words}
      onClick={async () => {
        const worked = await copy(typeof text === "string" ? text : text());
        setDone(worked ? "yes" : "failed");
        say(worked ? `Copied ${what}.` : `The browser did not let ${what} be copied.`);
        setTimeout(() => setDone("no"), 2_000);
      }}
    >
      {words}
    </button>
  );
}
