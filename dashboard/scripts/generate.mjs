// Writes src/api/schema.ts from the server's description of its API.
import { readFileSync, writeFileSync } from "node:fs";
import openapiTS, { astToString } from "openapi-typescript";

const description = JSON.parse(readFileSync(new URL("../../openapi.json", import.meta.url), "utf8"));
const types = astToString(await openapiTS(description));
writeFileSync(
  new URL("../src/api/schema.ts", import.meta.url),
  `// Generated from openapi.json by \`npm run generate\`. Do not edit.\n${types}`,
);
