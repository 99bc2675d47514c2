/* Elements of the page, and the words and numbers on them. Text from data enters as text, never as markup. */

const contents = JSON.parse(document.getElementById("contents").textContent);
for (const name of ["embeddings", "columns", "genes"]) contents[name] ??= []; // a dataset may have none
const LONGEST_TITLE = 300; // characters of a tooltip: names can be as long as a file

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    else if (name === "style") node.style.cssText = value;
    else if (name === "title") node.setAttribute("title", shorten(String(value), LONGEST_TITLE));
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Make an HTML element; attributes may hold text, title, class and on: {event: function}. */
function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Make an SVG element. */
function drawing(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

/** A line icon of 16 units from the d of a path. */
function icon(path) {
  return drawing("svg", { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true" }, drawing("path", { d: path }));
}

/** Cut a text in the middle of nothing: whole code points, an ellipsis where something is missing. */
function shorten(text, most) {
  if (text.length <= most) return text;
  const kept = text.slice(0, most - 1);
  return `${/[\ud800-\udbff]$/.test(kept) ? kept.slice(0, -1) : kept}…`;
}

/** A name for reading: an empty one is said to be empty. */
function readable(name, most = LONGEST_TITLE) {
  return name.trim() === "" ? "(no name)" : shorten(name, most);
}

/** A whole number with separators. */
function count(number) {
  return Number(number).toLocaleString("en-US");
}

/** "1 cell", "3,774 cells": the word of the dataset's rows or of another plural, with its number. */
function counted(number, plural) {
  return `${count(number)} ${number === 1 ? plural.replace(/s$/, "") : plural}`;
}

/** A share as a percentage of two figures; a few among many are not nought. */
function percent(share) {
  if (!Number.isFinite(share)) return "–";
  const hundred = share * 100;
  if (hundred > 0 && hundred < 0.1) return "< 0.1%";
  return `${hundred.toFixed(hundred < 10 ? 1 : 0)}%`;
}

/** A number in about `figures` figures, with separators. */
function figure(number, figures = 3) {
  if (!Number.isFinite(number)) return "–";
  const size = Math.abs(number);
  if (size !== 0 && (size >= 1e7 || size < 1e-4)) return number.toExponential(figures - 1).replace("e+", "e");
  if (size >= 10 ** figures) return Math.round(number).toLocaleString("en-US");
  return String(Number(number.toPrecision(figures)));
}

/** Call a function once things have been quiet for some milliseconds. */
function later(act, milliseconds) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...values), milliseconds);
  };
}

const STALE = "What it was computed from has changed since: run the step again";

/** A mark of what is out of date. */
function staleMark() {
  return element("span", { class: "stale-mark", text: "out of date", title: STALE });
}
