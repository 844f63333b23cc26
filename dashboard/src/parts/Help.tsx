// The sheet of keyboard shortcuts.
import { Dialog } from "./Dialog";
import { helpOpen, SHORTCUTS, showHelp } from "./keys";

export function Help() {
  if (!helpOpen.value) return null;
  return (
    <Dialog title="Keyboard shortcuts" close={() => showHelp(false)}>
      <dl class="shortcuts">
        {SHORTCUTS.map(([keys, does]) => (
          <div key={does}>
            <dt>{keys.split(" ").map((key) => (key === "" ? " " : <kbd key={key}>{key}</kbd>))}</dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
