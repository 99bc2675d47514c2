/* The panel of quality: what was filtered and why, distributions with the cuts, components, neighbours, and what steps cost. */

const MOST_STEPS = 100;

/** Bytes for reading. */
function bytesText(bytes) {
  if (!Number.isFinite(bytes)) return "–";
  const [unit, name] = bytes >= 1e9 ? [1e9, "GB"] : bytes >= 1e6 ? [1e6, "MB"] : [1e3, "kB"];
  return `${figure(bytes / unit)} ${name}`;
}

/** Seconds for reading. */
function secondsText(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 0.01) return "< 0.01 s";
  if (seconds < 90) return `${figure(seconds, 2)} s`;
  if (seconds < 5400) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${figure(seconds / 3600)} h`;
}

/** Bars beside names: rows [{name, values: [{share, text, color}]}], a column of bars for each of `heads`. */
function drawBars(rows, heads, width, what) {
  const side = Math.max(60, widestOf(rows, Math.min(230, width * 0.4)) + 14);
  const room = Math.max(...rows.flatMap(({ values }) => values.map(({ text }) => textWidth(text, 12)))) + 12;
  const wide = (width - side) / heads.length;
  const [step, top] = [24, heads.some(Boolean) ? 26 : 4];
  const height = top + step * rows.length + 4;
  const svg = sheet(width, height, "bars", what, { role: "img" });
  heads.forEach((head, k) => head && svg.append(label(side + wide * k, 11, head, { class: "head" })));
  rows.forEach((row, i) => {
    const y = top + step * (i + 0.5);
    svg.append(label(0, y, fitText(row.name, side - 12), row.faint ? { class: "faint" } : {}));
    row.values.forEach(({ share, text, kind }, k) => {
      const x = side + wide * k;
      const long = Math.max(share > 0 ? 1 : 0, (wide - room - 8) * Math.min(1, share || 0));
      const group = drawing("g", {}, hint(`${row.name}: ${text}`));
      group.append(drawing("rect", { x, y: y - 7, width: Math.max(1, wide - room - 8), height: 14, rx: 2, class: "well" }));
      group.append(drawing("rect", { x, y: y - 7, width: long, height: 14, rx: 2, class: kind ?? "value" }));
      group.append(label(x + wide - room, y, text, { class: "small" }));
      svg.append(group);
    });
  });
  return svg;
}

/** Filters as bars: everything there was, what each reason removed, what was kept. */
function filterCard({ what, before, kept, reasons }) {
  const removed = before - kept;
  const share = (n) => n / Math.max(1, before);
  const row = (name, n, kind) => ({ name, values: [{ share: share(n), text: `${count(n)} (${percent(share(n))})`, kind }] });
  const rows = [
    row("before", before, "before"),
    ...reasons.slice(0, 40).map(({ reason, removed: n }) => row(`not ${reason}`, n, "lost")),
    row("kept", kept, "value"),
  ];
  const name = `${contents.title} filter of ${what}`;
  let svg = null;
  const host = element("div", { class: "drawn" });
  drawnIn(host, (width) => (svg = drawBars(rows, [""], width, name)));
  const table = { columns: ["reason", "removed"], rows: reasons.map((one) => [one.reason, one.removed]) };
  const said = removed
    ? `${count(kept)} of ${count(before)} ${what} were kept, ${count(removed)} removed.`
    : `All ${count(before)} ${what} were kept.`;
  const note = reasons.length > 1 ? `${said} One can be removed for more than one reason.` : said;
  return card(`Filter of ${what}`, note, [csvButton(table, name), pictureButtons(() => svg, name)], host);
}

/** Places of a scale, linear or by log(1 + value), with round ticks. */
function scaleOf(low, high, log, from, to) {
  const f = log ? (value) => Math.log1p(Math.max(value, 0)) : (value) => value;
  const [a, b] = [f(low), f(high)];
  const at = (value) => from + ((f(value) - a) / Math.max(b - a, 1e-12)) * (to - from);
  const ticks = [];
  if (log) {
    for (let power = 0; power <= Math.ceil(Math.log10(Math.max(high, 1))); power += 1)
      ticks.push(...[1, 2, 5].map((step) => step * 10 ** power));
  } else {
    const raw = Math.max(high - low, 1e-12) / 5;
    const ten = 10 ** Math.floor(Math.log10(raw));
    const step = ten * [1, 2, 5, 10].find((one) => one * ten >= raw);
    for (let value = Math.ceil(low / step) * step; value <= high; value += step) ticks.push(Number(value.toPrecision(12)));
  }
  return { at, ticks: ticks.filter((value) => value >= low && value <= high) };
}

/** Ticks below an axis, leaving out those whose text would touch the one before. */
function axisBelow(scale, y, left = -Infinity, right = Infinity) {
  const out = [];
  let last = left;
  for (const value of scale.ticks) {
    const x = scale.at(value);
    const half = textWidth(figure(value), 11) / 2;
    if (x - half < last || x + half > right) continue;
    last = x + half + 8;
    out.push(
      drawing("path", { d: `M${x} ${y}v4`, class: "tick" }),
      label(x, y + 13, figure(value), { class: "small faint", "text-anchor": "middle" }),
    );
  }
  return out;
}

/** Lines where filters cut; those that are close to each other share their words. */
function drawCuts(cuts, scale, { left, right, top, bottom }) {
  const out = [];
  const groups = [];
  for (const value of [...cuts].sort((a, b) => a - b)) {
    const x = scale.at(value);
    out.push(drawing("path", { d: `M${x} ${top - 4}V${bottom}`, class: "cut" }));
    if (groups.length && x - groups[groups.length - 1].to < 70) Object.assign(groups[groups.length - 1], { to: x }).values.push(value);
    else groups.push({ from: x, to: x, values: [value] });
  }
  for (const { from, to, values } of groups) {
    const words = `cut ${values.map((value) => figure(value)).join(", ")}`;
    const half = textWidth(words, 11) / 2;
    const middle = Math.min(right - half, Math.max(left + half, (from + to) / 2));
    out.push(label(middle, top - 12, words, { class: "small cut-text", "text-anchor": "middle" }));
  }
  return out;
}

function drawDistribution(one, width) {
  const { edges, counts, log, label: text } = one;
  const [first, end] = [Math.max(edges[0], log ? 0 : -Infinity), edges[edges.length - 1]];
  const span = end - first;
  const all = (one.cuts ?? one.cut ?? []).filter((value) => Number.isFinite(value));
  // a cut that nothing came near is drawn where the axis can reach it
  const cuts = all.filter((value) => value >= first - span / 2 && value <= end + span / 2);
  const [left, right, top, bottom] = [6, width - 6, 26, 176];
  const scale = scaleOf(Math.min(first, ...cuts), Math.max(end, ...cuts), log, left, right);
  const most = Math.max(1, ...counts);
  const svg = sheet(width, 226, "distribution", `Distribution of ${plain(text, 80)}`, { role: "img" });
  counts.forEach((n, i) => {
    if (!n) return;
    const [x1, x2] = [scale.at(edges[i]), scale.at(edges[i + 1])];
    const high = Math.max(0.7, (n / most) * (bottom - top));
    const said = `${figure(edges[i])} to ${figure(edges[i + 1])}: ${counted(n, contents.rows)}`;
    svg.append(drawing("rect", { x: x1, y: bottom - high, width: Math.max(0.6, x2 - x1 - 0.6), height: high, class: "value" }, hint(said)));
  });
  svg.append(drawing("path", { d: `M${left} ${bottom}H${right}`, class: "axis" }), ...axisBelow(scale, bottom, left, right));
  svg.append(label((left + right) / 2, 214, fitText(text, width - 20), { class: "small", "text-anchor": "middle" }));
  svg.append(...drawCuts(cuts, scale, { left, right, top, bottom }));
  if (Number.isFinite(one.median)) {
    const x = scale.at(one.median);
    svg.append(drawing("path", { d: `M${x} ${bottom + 1}l-4 7h8z`, class: "median" }, hint(`median ${figure(one.median)}`)));
  }
  return svg;
}

function histogramCard(one) {
  const name = `${contents.title} ${one.name}`;
  let svg = null;
  const host = element("div", { class: "drawn" });
  drawnIn(host, (width) => (svg = drawDistribution(one, width)));
  const table = { columns: ["from", "to", contents.rows], rows: one.counts.map((n, i) => [one.edges[i], one.edges[i + 1], n]) };
  const cuts = (one.cuts ?? one.cut ?? []).filter((value) => Number.isFinite(value)).map((value) => figure(value));
  const facts = [
    Number.isFinite(one.median) ? `median ${figure(one.median)}` : "",
    cuts.length ? `cut at ${cuts.join(" and ")}` : "",
  ].filter(Boolean);
  const said = facts.length ? `${facts.join(", ").replace(/^./, (letter) => letter.toUpperCase())}.` : null;
  return card(one.name, said, [csvButton(table, name), pictureButtons(() => svg, name)], host);
}

/** Share of variance of each component, as points on a line; the axis is logarithmic where shares span much. */
function drawElbow(variance, width) {
  const [left, right, top, bottom] = [52, width - 10, 12, 186];
  const shown = variance.filter((share) => share > 0);
  const [least, most] = [Math.min(...shown), Math.max(...shown)];
  const x = scaleOf(1, Math.max(2, variance.length), false, left + 8, right - 4);
  x.ticks = [...new Set(x.ticks.map(Math.round))];
  const log = (share) => Math.log10(Math.max(share, least));
  const y = (share) => bottom - 6 - ((log(share) - log(least)) / Math.max(1e-9, log(most) - log(least))) * (bottom - top - 12);
  const svg = sheet(width, 230, "elbow", "Share of variance by component", { role: "img" });
  for (let power = Math.floor(Math.log10(least)); power <= 0; power += 1) {
    for (const step of most / least > 60 ? [1] : [1, 2, 5]) {
      const share = step * 10 ** power;
      if (share < least || share > most) continue;
      svg.append(drawing("path", { d: `M${left} ${y(share)}H${right}`, class: "grid" }));
      svg.append(label(left - 6, y(share), `${Number((100 * share).toPrecision(2))}%`, { class: "small faint", "text-anchor": "end" }));
    }
  }
  const at = variance.map((share, i) => [x.at(i + 1), y(share)]);
  svg.append(drawing("path", { d: `M${at.map((point) => point.map((value) => value.toFixed(1)).join(" ")).join("L")}`, class: "curve" }));
  let sum = 0;
  variance.forEach((share, i) => {
    sum += share;
    const said = `component ${i + 1}: ${percent(share)} of the variance, ${percent(sum)} with those before`;
    svg.append(
      drawing(
        "circle",
        { cx: at[i][0].toFixed(1), cy: at[i][1].toFixed(1), r: variance.length > 80 ? 1.6 : 3, class: "point" },
        hint(said),
      ),
    );
  });
  svg.append(drawing("path", { d: `M${left} ${bottom}H${right}`, class: "axis" }), ...axisBelow(x, bottom, left, right + 8));
  svg.append(label((left + right) / 2, 220, "component", { class: "small", "text-anchor": "middle" }));
  return svg;
}

function elbowCard({ variance }) {
  let svg = null;
  const host = element("div", { class: "drawn" });
  drawnIn(host, (width) => (svg = drawElbow(variance, width)));
  const sum = variance.reduce((total, share) => total + share, 0);
  const table = { columns: ["component", "share of variance"], rows: variance.map((share, i) => [i + 1, share]) };
  const name = `${contents.title} variance of components`;
  return card(
    "Components",
    `${counted(variance.length, "components")} hold ${percent(sum)} of the variance.`,
    [csvButton(table, name), pictureButtons(() => svg, name)],
    host,
  );
}

/** Seconds and memory of every step. */
function costCard(steps) {
  const timed = steps.filter(({ seconds }) => Number.isFinite(seconds));
  if (!timed.length) return null;
  const shown = timed.length > MOST_STEPS ? [...timed].sort((a, b) => b.seconds - a.seconds).slice(0, MOST_STEPS) : timed;
  const memory = shown.some(({ peak }) => peak);
  const longest = Math.max(1e-9, ...shown.map(({ seconds }) => seconds));
  const most = Math.max(1, ...shown.map(({ peak }) => peak ?? 0));
  const rows = shown.map(({ verb, seconds, peak, current }) => ({
    name: current === false ? `${verb} (out of date)` : verb,
    faint: current === false,
    values: [
      { share: seconds / longest, text: secondsText(seconds) },
      ...(memory ? [{ share: (peak ?? 0) / most, text: bytesText(peak), kind: "memory" }] : []),
    ],
  }));
  const total = timed.reduce((sum, { seconds }) => sum + seconds, 0);
  const peak = timed.reduce((high, step) => Math.max(high, step.peak ?? 0), 0);
  const said = [`${counted(timed.length, "steps")} took ${secondsText(total)}`, peak ? `and their process at most ${bytesText(peak)} of memory` : ""]
    .filter(Boolean)
    .join(" ");
  let svg = null;
  const host = element("div", { class: "drawn" });
  const name = `${contents.title} steps`;
  drawnIn(host, (width) => (svg = drawBars(rows, memory ? ["seconds", "peak memory of the process so far"] : [""], width, name)));
  const table = {
    columns: ["step", "seconds", "peak bytes", "outputs"],
    rows: timed.map((step) => [step.verb, step.seconds, step.peak ?? null, step.outputs.join(" ")]),
  };
  const note = timed.length > MOST_STEPS ? `${said}; the longest ${MOST_STEPS} are drawn.` : `${said}.`;
  return card("Time and memory", note, [csvButton(table, name), pictureButtons(() => svg, name)], host);
}

/** A number with what it means below. */
function tile(value, text, title) {
  return element("div", { class: "tile", title }, element("b", { text: value }), element("span", { text }));
}

/** The numbers that come first. */
function qualityTiles({ filters = [], recall }, steps) {
  const timed = steps.filter(({ seconds }) => Number.isFinite(seconds));
  const peak = steps.reduce((high, step) => Math.max(high, step.peak ?? 0), 0);
  return [
    ...filters.map(({ what, before, kept }) => tile(count(kept), `of ${count(before)} ${what} kept`)),
    Number.isFinite(recall) ? tile(percent(recall), "of the true nearest neighbours found") : null,
    timed.length ? tile(secondsText(timed.reduce((sum, { seconds }) => sum + seconds, 0)), counted(timed.length, "steps")) : null,
    peak ? tile(bytesText(peak), "largest memory of the process") : null,
  ].filter(Boolean);
}

panels.push({
  id: "quality",
  title: "Quality",
  present: () => Object.keys(contents.quality ?? {}).length > 0 || (contents.history ?? []).some(({ seconds }) => Number.isFinite(seconds)),
  build: (host) => {
    const quality = contents.quality ?? {};
    const { filters = [], distributions = [], elbow } = quality;
    const cards = [...distributions.map(histogramCard), elbow?.variance?.length ? elbowCard(elbow) : null].filter(Boolean);
    const steps = contents.history ?? [];
    host.append(element("div", { class: "figures-row" }, ...qualityTiles(quality, steps)));
    if (filters.length) host.append(element("div", { class: "grid-of-cards wide" }, ...filters.map(filterCard)));
    if (cards.length) host.append(element("div", { class: "grid-of-cards" }, ...cards));
    host.append(costCard(steps) ?? "");
  },
});
