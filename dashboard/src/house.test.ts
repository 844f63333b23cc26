// @vitest-environment node
// Rules of the house that no other tool checks.
import ts from "typescript";
import { expect, test } from "vitest";

const sources = import.meta.glob<string>(["./**/*.ts", "./**/*.tsx", "!./api/schema.ts"], {
  query: "?raw",
  import: "default",
  eager: true,
});

/** What in a file gets round the types, or round the generated client. */
function offences(path: string, text: string): string[] {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.ESNext, true, ts.ScriptKind.TSX);
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    const cast = ts.isAsExpression(node) && node.type.getText() !== "const";
    const any = node.kind === ts.SyntaxKind.AnyKeyword;
    const asks = ts.isCallExpression(node) && /(^|\.)fetch$/.test(node.expression.getText());
    const markup = ts.isIdentifier(node) && ["innerHTML", "dangerouslySetInnerHTML"].includes(node.text);
    if (cast || any || markup || ts.isNonNullExpression(node)) found.push(node.getText());
    if (asks && path !== "./api/client.ts") found.push(node.getText());
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

test.each(Object.entries(sources))(
  "%s has no cast, no `any`, no markup from text and no `fetch` of its own",
  (path, text) => expect(offences(path, text)).toEqual([]),
);

test("a cast would be found", () => {
  expect(
    offences("./x.ts", "const a = b as C; const d = [1] as const; let e: any; f!.g; fetch(h)"),
  ).toHaveLength(4);
});
