// Writes src/api/schema.ts from the server's description of its API.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import openapiTS, { astToString } from "openapi-typescript";

const read = (path) => JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));
const description = read("../../openapi.json");
const interim = new URL("../interim.json", import.meta.url);
if (existsSync(interim)) {
  const coming = read("../interim.json");
  description.paths = { ...coming.paths, ...description.paths };
  description.components.schemas = { ...coming.components.schemas, ...description.components.schemas };
}
const types = astToString(await openapiTS(description));
writeFileSync(
  new URL("../src/api/schema.ts", import.meta.url),
  `// Generated from openapi.json by \`npm run generate\`. Do not edit.\n${types}`,
);
