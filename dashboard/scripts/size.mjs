// Says how large the built dashboard is, compressed, and fails above the budget.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const BUDGET = 130_000;
const root = new URL("../dist/", import.meta.url).pathname;

const sizes = readdirSync(root, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && !/\.(br|gz)$/.test(entry.name))
  .map((entry) => join(entry.parentPath, entry.name))
  .map((path) => ({ path, size: gzipSync(readFileSync(path), { level: 9 }).length }));

const total = sizes.reduce((sum, { size }) => sum + size, 0);
for (const { path, size } of sizes) {
  process.stdout.write(`${String(size).padStart(8)}  ${path.slice(root.length)}\n`);
}
process.stdout.write(`${String(total).padStart(8)}  of ${BUDGET} bytes, gzip\n`);
if (total > BUDGET) {
  process.stderr.write("The dashboard is too large.\n");
  process.exitCode = 1;
}
