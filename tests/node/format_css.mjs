// Checks that style sheets are formatted, or formats them: node format_css.mjs [--write] FILE...
// Biome's formatter would put each declaration on a line of its own.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createFromBuffer } from "@dprint/formatter";

const plugin = fileURLToPath(import.meta.resolve("dprint-plugin-malva/plugin.wasm"));
const formatter = createFromBuffer(readFileSync(plugin));
formatter.setConfig({ lineWidth: 120 }, { singleLineBlockThreshold: 6 });

const writes = process.argv[2] === "--write";
for (const filePath of process.argv.slice(writes ? 3 : 2)) {
  const fileText = readFileSync(filePath, "utf8");
  const formatted = formatter.formatText({ filePath, fileText });
  if (formatted === fileText) continue;
  if (writes) writeFileSync(filePath, formatted);
  else console.error(`${filePath} is not formatted: make fix`);
  process.exitCode = writes ? 0 : 1;
}
