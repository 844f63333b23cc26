// One figure with its name.
import type { ComponentChildren } from "preact";

export function Tile({
  name,
  children,
  tone = "plain",
  link,
}: {
  name: string;
  children: ComponentChildren;
  tone?: "plain" | "good" | "warn" | "bad";
  link?: string;
}) {
  const content = (
    <>
      <span class="quiet">{name}</span> <span class={`tile-value ${tone}`}>{children}</span>
    </>
  );
  if (link === undefined) return <div class="tile">{content}</div>;
  return (
    <a class="tile" href={link}>
      {content}
    </a>
  );
}

/** A part of a page with a heading. */
export function Panel({
  title,
  children,
  aside,
  wide = false,
}: {
  title: string;
  children: ComponentChildren;
  aside?: ComponentChildren;
  wide?: boolean;
}) {
  return (
    <section class={wide ? "panel wide" : "panel"} aria-label={title}>
      <header>
        <h2>{title}</h2>
        {aside}
      </header>
      {children}
    </section>
  );
}
