// Puts compressed forms beside the built files, for the server to send as they are. What hardly
// shrinks stays as it is.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

/** A compressed form is worth keeping when it is at most this share of the plain one. */
const WORTH = 0.9;
const root = new URL("../dist/", import.meta.url).pathname;

const paths = readdirSync(root, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && !/\.(br|gz)$/.test(entry.name))
  .map((entry) => join(entry.parentPath, entry.name));

for (const path of paths) {
  const plain = readFileSync(path);
  const params = { [constants.BROTLI_PARAM_SIZE_HINT]: plain.length };
  const forms = { br: brotliCompressSync(plain, { params }), gz: gzipSync(plain, { level: 9 }) };
  for (const [suffix, form] of Object.entries(forms)) {
    if (form.length <= plain.length * WORTH) writeFileSync(`${path}.${suffix}`, form);
  }
}
