// Receivers in JavaScript and TypeScript that are made from the schema alone, as a developer would make them.
//
//   node receive.mjs TOOLS SCHEMA DIR < events.jsonl
//
// Ajv in its strict mode; quicktype, whose TypeScript checks at run time what it reads; json-schema-to-typescript, whose
// types the compiler holds against the events. All TypeScript is compiled with `--strict`.
import { createRequire } from "node:module";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { spawnSync } from "node:child_process";

const [tools, schemaFile, dir] = process.argv.slice(2);
const require = createRequire(join(tools, "package.json"));
const schema = readFileSync(schemaFile, "utf8");
const lines = readFileSync(0, "utf8").split("\n").filter((line) => line !== "");
const problems = [];

function tryAll(reader, read) {
  lines.forEach((line, number) => {
    try {
      read(line);
    } catch (error) {
      problems.push(`${reader}, event ${number}: ${error.message ?? error}`);
    }
  });
}

const Ajv = require("ajv/dist/2020").default;
const ajv = new Ajv({ strict: true, allErrors: true });
require("ajv-formats").default(ajv);
const validate = ajv.compile(JSON.parse(schema));
tryAll("Ajv", (line) => {
  if (!validate(JSON.parse(line))) throw new Error(ajv.errorsText(validate.errors));
});

const { quicktype, InputData, JSONSchemaInput } = require("quicktype-core");
const input = new InputData();
await input.addSource("schema", { name: "FacewayEvent", schema }, () => new JSONSchemaInput(undefined));
const made = await quicktype({ inputData: input, lang: "typescript" });
writeFileSync(join(dir, "quicktype.ts"), made.lines.join("\n"));

const { compile } = require("json-schema-to-typescript");
const types = await compile(JSON.parse(schema), "FacewayEvent", { bannerComment: "" });
writeFileSync(join(dir, "types.ts"), types);
const events = lines.map((line) => `  ${line},\n`).join("");
const reader = `import type { FacewayEvent } from "./types.js";\nexport const events: FacewayEvent[] = [\n${events}];\n`;
writeFileSync(join(dir, "events.ts"), reader);
writeFileSync(join(dir, "package.json"), '{ "type": "module" }\n');

for (const file of ["quicktype.ts", "types.ts"]) {
  const named = readFileSync(join(dir, file), "utf8").match(/^export (?:interface|type|enum) \w*\d\b/gm);
  if (named) problems.push(`${file}: the same type under several names: ${named.join(", ")}`);
}
const options = { strict: true, types: [], target: "es2022", module: "nodenext", moduleResolution: "nodenext" };
const files = ["quicktype.ts", "types.ts", "events.ts"];
writeFileSync(join(dir, "tsconfig.json"), JSON.stringify({ compilerOptions: options, files }));
const tsc = spawnSync(process.execPath, [join(tools, "node_modules/typescript/bin/tsc")], { cwd: dir, encoding: "utf8" });
if (tsc.status !== 0) {
  problems.push(`tsc --strict: ${tsc.stdout}${tsc.stderr}`);
} else {
  const { Convert } = await import(pathToFileURL(join(dir, "quicktype.js")));
  tryAll("quicktype", (line) => {
    const event = Convert.toFacewayEvent(line);
    for (const name of Object.keys(JSON.parse(line))) {
      if (event[name] === undefined) throw new Error(`${name} is lost`);
    }
  });
}

console.log(`read ${lines.length}`);
if (problems.length > 0) {
  console.error(problems.slice(0, 20).join("\n"));
  process.exit(1);
}
