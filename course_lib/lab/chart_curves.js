// What a chart of loss is drawn of: axes, reference lines, curves, ticks of samples, notes.

const HALO = { stroke: PAPER, "stroke-width": 4, "paint-order": "stroke", "stroke-linejoin": "round" };
const NARROW = 520; // where a chart is no wider, words stand inside it
const NOTE_ROWS = 4;
const FEWEST_JOINED = 5; // so many validation losses are joined by a line

// Words in lines of at most `width` pixels.
function wrapped(svg, text, width) {
  const probe = make(svg, "text", {}, text);
  if (probe.getComputedTextLength() <= width) return probe.remove(), [text];
  const lines = [];
  for (const part of text.replace(/(block_size) (\d+) = /, "$1\u00a0$2\u00a0=\u00a0").replace(/ = /g, " =\u00a0").split(/(?<=:) /)) {
    lines.push(""); // what stands after a colon begins a line
    for (const word of part.split(" ")) {
      probe.textContent = `${lines.at(-1)} ${word}`.trim();
      if (lines.at(-1) && probe.getComputedTextLength() > width) lines.push(word);
      else lines[lines.length - 1] = probe.textContent;
    }
  }
  probe.remove();
  return lines;
}

// What the reference lines mean, at the right. Where two are close, their words make room for one another.
function lineLabels(svg, lines, y, box) {
  const shown = lines.filter(({ value }) => y(value) > box.top - 1 && y(value) < box.bottom + 1);
  if (!box.gutter) return shortLabels(svg, shown, y, box);
  const height = 13;
  const labels = shown
    .map(({ label, value }) => ({ at: y(value), words: wrapped(svg, label, box.gutter - 22) }))
    .sort((a, b) => a.at - b.at);
  let free = box.top - 6;
  for (const label of labels) {
    label.size = label.words.length * height;
    label.y = Math.max(free, label.at - label.size / 2);
    free = label.y + label.size + 5;
  }
  let floor = box.bottom + 12;
  for (const label of labels.reverse()) {
    label.y = Math.min(label.y, floor - label.size);
    floor = label.y - 5;
    const middle = label.y + label.size / 2;
    make(svg, "path", { d: `M${box.right} ${label.at}L${box.right + 12} ${middle}h4`, fill: "none", stroke: INK, "stroke-opacity": 0.6 });
    label.words.forEach((text, i) => make(svg, "text", { class: "line-label", x: box.right + 20, y: label.y + 11 + i * height }, text));
  }
}

// In a narrow chart their words stand inside, and short: those of high lines at the right end, those of low ones at the
// left, where a curve is only at its beginning.
function shortLabels(svg, lines, y, box) {
  const middle = (box.top + box.bottom) / 2;
  let free = -Infinity;
  for (const { label, value } of [...lines].sort((a, b) => b.value - a.value)) {
    const isHigh = y(value) < middle;
    const at = Math.max(y(value) - 4, free);
    if (!isHigh) free = at + 15;
    const place = isHigh ? { x: box.right - 2, "text-anchor": "end" } : { x: box.left + 4 };
    const text = make(svg, "text", { class: "line-label", ...place, y: at, ...HALO }, `${label.split(/[:(=]/)[0].trim()}: ${value.toFixed(2)}`);
    make(text, "title", {}, label);
  }
}

function lossAxis(svg, view, ends, y, box) {
  for (const value of view.log ? logTicks(...ends) : ticks(ends[1], 5, ends[0])) {
    make(svg, "line", { x1: box.left, x2: box.right, y1: y(value), y2: y(value), stroke: INK, "stroke-opacity": 0.13 });
    make(svg, "text", { x: box.left - 8, y: y(value) + 4, "text-anchor": "end" }, written(value));
  }
  const middle = (box.top + box.bottom) / 2;
  make(svg, "text", { x: 11, y: middle, "text-anchor": "middle", transform: `rotate(-90 11 ${middle})` }, yName(view));
}

function xAxis(svg, view, end, x, box, at) {
  for (const value of ticks(end, box.right - box.left > 420 ? 6 : 4)) {
    make(svg, "line", { x1: x(value), x2: x(value), y1: at, y2: at + 4, stroke: INK });
    make(svg, "text", { x: x(value), y: at + 17, "text-anchor": "middle" }, short(value));
  }
  make(svg, "line", { x1: box.left, x2: box.right, y1: at, y2: at, stroke: INK });
  make(svg, "text", { x: (box.left + box.right) / 2, y: at + 34, "text-anchor": "middle" }, xName(view));
}

const pixel = (value) => Math.min(1e5, Math.max(-1e5, value)).toFixed(1);

// Points that have a value, as an attribute; `values` has one for each row.
function joinedRows(rows, values, where, x, y) {
  const parts = [];
  for (let i = 0; i < rows.length; i++) if (values[i] != null) parts.push(`${pixel(x(where(rows[i])))},${pixel(y(values[i]))}`);
  return parts.join(" ");
}

// A run: its training loss as a line, smoothed where that is asked for with the raw one pale behind; its validation loss
// as a line with marks, as many as have room.
function drawCurve(inside, curve, isCurrent, view, x, y) {
  const { color, dash, marker, rows, val_color, isGhost } = curve;
  const group = make(inside, "g", { opacity: isGhost ? 0.5 : 1, class: isGhost ? "ghost" : "run" });
  const look = { fill: "none", stroke: color, "stroke-linejoin": "round", "stroke-dasharray": dash };
  const losses = rows.map((row) => row[LOSS]);
  make(group, "polyline", {
    ...look, class: isCurrent ? "curve current" : "curve finished", points: joinedRows(rows, losses, BEFORE[view.x], x, y),
    "stroke-width": view.smooth ? 1 : isCurrent ? 1.6 : 1.2, "stroke-opacity": view.smooth ? 0.4 : 1,
  });
  if (view.smooth)
    make(group, "polyline", {
      ...look, class: "smooth", points: joinedRows(rows, curve.means, BEFORE[view.x], x, y), "stroke-width": 2,
    });
  const measured = rows.filter((row) => row[VAL] != null);
  // Between few marks a straight line would lie above a curve that sags, and look like a gap.
  if (measured.length >= FEWEST_JOINED)
    make(group, "polyline", {
      class: "validation", fill: "none", stroke: val_color, "stroke-width": 1.3,
      points: joinedRows(measured, measured.map((row) => row[VAL]), AFTER[view.x], x, y),
    });
  let taken = Infinity;
  for (const row of measured.reverse()) {
    const [at, height] = [x(AFTER[view.x](row)), y(row[VAL])];
    if (taken - at < 20) continue;
    taken = at;
    make(group, "path", {
      class: "dot", d: marker, fill: val_color, stroke: PAPER, "stroke-width": 1, transform: `translate(${pixel(at)} ${pixel(height)})`,
    });
  }
}

// A triangle under the axis where the run wrote a sample; that of the one that is shown is large. (A tick across the curve
// would look like an error bar.)
function sampleTicks(within, curve, view, x, box, shownStep) {
  for (const step of curve.rows.length ? curve.samples : []) {
    const isShown = step === shownStep;
    const mark = make(within, "path", {
      class: isShown ? "sample-tick shown" : "sample-tick", d: isShown ? "M-6 11h12l-6 -11z" : "M-3.5 7h7l-3.5 -7z", fill: INK,
      transform: `translate(${pixel(x(placeOf(curve, step, view.x)))} ${box.bottom + 1})`,
    });
    make(mark, "title", {}, `a sample, after ${step} steps`);
  }
}

// Where a curve leaves the axis at its top, and how far it goes.
function offAxis(svg, curve, view, x, ends, box) {
  const isOff = (row) => row[LOSS] > ends[1] || row[VAL] > ends[1];
  const first = view.fit ? undefined : curve.rows.find(isOff); // who zooms in cuts off the beginning on purpose
  if (!first) return;
  const at = Math.min(box.right - 6, Math.max(box.left + 6, x(BEFORE[view.x](first))));
  const highest = curve.rows.reduce((most, row) => Math.max(most, row[LOSS] ?? 0, row[VAL] ?? 0), 0);
  const words = `up to ${highest < 1000 ? highest.toFixed(1) : highest.toExponential(0)}`;
  make(svg, "path", { class: "off-axis", d: "M-6 11h12l-6 -11z", fill: curve.color, stroke: PAPER, transform: `translate(${at} ${box.top})` });
  const isLeft = at < (box.left + box.right) / 2;
  make(svg, "text", { class: "off-axis-words", x: at + (isLeft ? 9 : -9), y: box.top + 10, "text-anchor": isLeft ? "start" : "end", ...HALO }, words);
}

// What was moved on the way, with its step: in rows from the top, where a curve is only at its beginning.
function notes(svg, curve, view, x, box, rows) {
  for (const [step, text] of curve.notes) {
    const place = placeOf(curve, step, view.x);
    if (place === null) continue;
    const at = x(place);
    if (at > box.right + 1) continue;
    const mark = make(svg, "g", { class: "note" });
    make(mark, "title", {}, `from step ${step} on: ${text}`);
    const words = make(mark, "text", { ...HALO }, text);
    const width = words.getComputedTextLength();
    const left = Math.min(Math.max(at + 4, box.left + 2), box.right - width);
    const isFree = (row) => !row.some(([from, to]) => left < to + 8 && left + width + 8 > from);
    let row = rows.findIndex(isFree);
    if (row < 0) row = rows.length - 1;
    rows[row].push([left, left + width]);
    const height = box.notes + 15 * row;
    words.setAttribute("x", left);
    words.setAttribute("y", height);
    const line = make(mark, "line", { x1: at, x2: at, y1: box.bottom, y2: height - 9, stroke: curve.color, "stroke-dasharray": "1 3" });
    mark.prepend(line);
    make(mark, "path", { d: "M-4 -7h8l-4 7z", fill: curve.color, transform: `translate(${at} ${box.bottom})` });
  }
}

// What is guessed of the run to come.
function nextGuess(svg, value, y, box) {
  if (value !== null) make(svg, "line", { class: "guess-line", x1: box.left, x2: box.right, y1: y(value), y2: y(value), stroke: INK, "stroke-dasharray": "1 4", "stroke-width": 2 });
}

// The guess of a run beside what came of it.
function guessLine(svg, curve, x, y, view, box, isOver) {
  if (curve.guess == null) return;
  const last = curve.rows.findLast((row) => row[VAL] != null);
  const isEarly = last && curve.max_steps > last[STEP] + 1;
  const came = isOver && last ? `, came ${last[VAL].toFixed(2)}` : "";
  const guessed = `guessed ${curve.guess.toFixed(2)}${came}`;
  const [of, when] = [`${curve.label || "the run"}: `, came && isEarly ? ` at step ${last[STEP] + 1}` : ""];
  const at = y(curve.guess);
  make(svg, "line", { class: "guessed", x1: box.left, x2: box.right, y1: at, y2: at, stroke: curve.color, "stroke-width": 1.5, "stroke-dasharray": "2 4" });
  if (came) make(svg, "path", { class: "guess-off", d: `M${x(AFTER[view.x](last))} ${at}V${y(last[VAL])}`, stroke: curve.color, "stroke-width": 2, fill: "none" });
  const words = make(svg, "text", { class: "guess-words", x: box.right - 12, y: at - 5, "text-anchor": "end", ...HALO });
  // As many words as have room: at the left stands the mark of the next guess.
  for (const text of [of + guessed + when, guessed + when, guessed]) {
    words.textContent = text;
    if (words.getComputedTextLength() < box.right - box.left - 30) break;
  }
}
