/* The panel of history: every step with the command line that makes it again. */

/** A line that a shell reads as a comment, whatever is in it. */
function comment(text) {
  return `# ${plain(text, 1000)}`;
}

/** A command of a step as one line: what comes from a dataset brings no line of its own into a script. */
function lineOf({ command }) {
  return command.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ");
}

/** The steps as lines for a shell; a step that is out of date would stop the script, and is a comment. */
function commandLines(steps) {
  const out = [];
  for (const step of steps.filter(({ command }) => command)) {
    if (step.current === false) out.push(`# out of date: ${lineOf(step)}`); // whole, so that it can be run again
    else out.push(lineOf(step));
  }
  return out;
}

/** All steps as a shell script; those without a command line are named in a comment. */
function shellScript(steps) {
  const lines = ["#!/bin/sh", comment(`${contents.title}: made with kithkin ${contents.version}, ${contents.date}`), "set -e", ""];
  for (const step of steps) {
    const outputs = step.outputs.slice(0, 6).join(", ");
    if (!step.command) lines.push(comment(`${step.verb}: ${outputs || "no outputs"} (part of another step, or given in Python)`));
    else {
      if (/\bSOURCE\b/.test(step.command)) lines.push(comment("SOURCE stands for a file whose name is not recorded"));
      lines.push(...commandLines([step]));
    }
  }
  return `${lines.join("\n")}\n`;
}

function stepItem(step, number) {
  const facts = [secondsText(step.seconds), step.peak ? `${bytesText(step.peak)} peak of the process so far` : null, step.finished ? dateText(step.finished) : null];
  const outputs = step.outputs.slice(0, 8).map((key) => element("span", { class: "key" }, isolated(key, 60)));
  if (step.outputs.length > 8) outputs.push(element("span", { class: "note", text: `and ${count(step.outputs.length - 8)} more` }));
  const stale = step.current === false;
  const line = step.command
    ? commandLine(lineOf(step))
    : element("p", { class: "note", text: "Part of another step, or given in Python: there is no command line." });
  return element(
    "li",
    { class: stale ? "step stale" : "step" },
    element("span", { class: "step-number", text: String(number), "aria-hidden": "true" }),
    element(
      "div",
      { class: "step-body" },
      element(
        "div",
        { class: "step-top" },
        element("b", {}, isolated(step.verb, 60)),
        stale ? staleMark() : null,
        element("span", { class: "faint", text: facts.filter(Boolean).join(" · ") }),
      ),
      line,
      element("div", { class: "keys" }, ...outputs),
    ),
  );
}

function dateText(text) {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? text : date.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

function buildHistory(host) {
  const steps = contents.history ?? [];
  const list = element("ol", { class: "steps" });
  const rest = element("button", { type: "button", class: "quiet" });
  let shown = 0;
  const more = () => {
    list.append(...steps.slice(shown, shown + PAGE_ROWS).map((step, i) => stepItem(step, shown + i + 1)));
    shown = Math.min(steps.length, shown + PAGE_ROWS);
    rest.hidden = shown >= steps.length;
    rest.textContent = `Show more of ${count(steps.length)} steps`;
  };
  rest.addEventListener("click", more);
  more();
  const commands = commandLines(steps);
  const copy = element("button", { type: "button", class: "quiet", text: "Copy all" });
  copy.addEventListener("click", () => copyFrom(copy, `${commands.join("\n")}\n`));
  const save = element("button", {
    type: "button",
    class: "quiet",
    text: "Shell script",
    title: "Save all steps as a shell script",
    on: { click: () => saveText(fileName(contents.title, "sh"), shellScript(steps), "text/x-shellscript") },
  });
  const table = {
    columns: ["step", "command", "seconds", "peak bytes", "finished", "current", "outputs"],
    rows: steps.map((step) => [
      step.verb,
      step.command,
      step.seconds,
      step.peak ?? null,
      step.finished,
      step.current,
      step.outputs.join(" "),
    ]),
  };
  const stale = steps.filter(({ current }) => current === false).length;
  const said = `These ${counted(steps.length, "steps")} made ${plain(contents.file, 80)}, with kithkin ${contents.version}.`;
  const note = stale
    ? `${said} ${counted(stale, "steps")} ${stale === 1 ? "is" : "are"} out of date: what they were made from has changed since.`
    : said;
  host.append(card("History", note, [copy, save, csvButton(table, `${contents.title} history`)], list, rest));
}

panels.push({
  id: "history",
  title: "History",
  present: () => (contents.history ?? []).length > 0,
  build: buildHistory,
});
