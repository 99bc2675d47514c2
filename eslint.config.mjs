// Lint of the script of report pages: `npx eslint src/kithkin/reports/page`.
// The files are joined into one function, so a name at the top of one is known in all.
import { readFileSync, readdirSync } from "node:fs";
import js from "@eslint/js";
import globals from "globals";

const FOLDER = "src/kithkin/reports/page";
const owners = new Map();
const known = {};
for (const file of readdirSync(FOLDER).filter((name) => name.endsWith(".js"))) {
  const text = readFileSync(`${FOLDER}/${file}`, "utf8");
  for (const [, kind, name] of text.matchAll(/^(?:async )?(function|class|const|let) (\w+)/gm)) {
    if (owners.has(name)) throw new Error(`${name} is declared in ${owners.get(name)} and in ${file}`);
    owners.set(name, file);
    known[name] = kind === "let" ? "writable" : "readonly";
  }
}
export default [
  js.configs.recommended,
  {
    files: [`${FOLDER}/*.js`],
    languageOptions: {
      ecmaVersion: 2022,
      sourceType: "script",
      globals: { ...globals.browser, ...known },
    },
    rules: {
      "no-redeclare": ["error", { builtinGlobals: false }],
      "no-unused-vars": ["error", { vars: "local", args: "after-used" }],
      "no-var": "error",
      "prefer-const": "error",
      eqeqeq: "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-restricted-properties": [
        "error",
        { property: "innerHTML", message: "text from data goes in by textContent" },
        { property: "outerHTML", message: "text from data goes in by textContent" },
        { property: "insertAdjacentHTML", message: "text from data goes in by textContent" },
      ],
      "max-lines": ["error", 400],
      "max-lines-per-function": ["error", { max: 60, skipComments: true, skipBlankLines: true }],
      "no-shadow": "error",
    },
  },
];
