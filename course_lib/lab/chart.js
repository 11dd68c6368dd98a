// The live loss chart. Python sends what is to be seen (see chart.py); here it becomes pixels.

const HEIGHT = 330;
const MARGIN = { left: 56, top: 12, bottom: 44 };
const ROW = 18; // of the legend
const GUTTER = 154; // at the right, for what the reference lines mean

// Round numbers from 0 to `end`, about `count` of them: steps of 1, 2 or 5 times a power of ten.
function ticks(end, count) {
  const raw = end / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999);
  return Array.from({ length: Math.floor(end / step + 1e-9) + 1 }, (_, i) => i * step);
}

const written = (value) => String(Number(value.toPrecision(6)));

// Words in lines of at most `width` pixels.
function wrapped(svg, text, width) {
  const probe = make(svg, "text", {}, text);
  if (probe.getComputedTextLength() <= width) return probe.remove(), [text];
  const lines = [];
  for (const part of text.replace(/ = /g, " =\u00a0").split(/(?<=:) /)) {
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

// The legend from the top left, in as many rows as it needs; returns how many these are.
function legend(svg, entries, right) {
  let x = MARGIN.left;
  let row = 0;
  for (const entry of entries) {
    const group = make(svg, "g", {});
    const swatch = entry.parts ? 34 : 0;
    const middle = MARGIN.top + 4;
    if (entry.parts === "line" || entry.parts === "both")
      make(group, "line", {
        x1: 0, x2: 28, y1: middle, y2: middle, stroke: entry.color, "stroke-width": 2, "stroke-dasharray": entry.dash,
      });
    if (entry.parts === "marker" || entry.parts === "both")
      make(group, "path", { d: entry.marker, fill: entry.color, transform: `translate(14 ${middle})` });
    const width = swatch + make(group, "text", { x: swatch, y: middle + 4 }, entry.text).getComputedTextLength();
    if (x > MARGIN.left && x + width > right) [x, row] = [MARGIN.left, row + 1];
    group.setAttribute("transform", `translate(${x} ${row * ROW})`);
    x += width + 18;
  }
  return row + 1;
}

// What the reference lines mean, at the right; where two are close, their words make room for one another.
function lineLabels(svg, lines, y, right, top, bottom) {
  const height = 13;
  const labels = lines
    .map(({ label, value }) => ({ at: y(value), words: wrapped(svg, label, GUTTER - 22) }))
    .sort((a, b) => a.at - b.at);
  let free = top - 6;
  for (const label of labels) {
    label.size = label.words.length * height;
    label.y = Math.max(free, label.at - label.size / 2);
    free = label.y + label.size + 5;
  }
  let floor = bottom + 12;
  for (const label of labels.reverse()) {
    label.y = Math.min(label.y, floor - label.size);
    floor = label.y - 5;
    const middle = label.y + label.size / 2;
    make(svg, "path", { d: `M${right} ${label.at}L${right + 12} ${middle}h4`, fill: "none", stroke: INK, "stroke-opacity": 0.6 });
    label.words.forEach((text, i) =>
      make(svg, "text", { class: "line-label", x: right + 20, y: label.y + 11 + i * height }, text),
    );
  }
}

function axes(svg, data, x, y, box) {
  for (const value of ticks(data.y_max, 5)) {
    make(svg, "line", { x1: box.left, x2: box.right, y1: y(value), y2: y(value), stroke: INK, "stroke-opacity": 0.13 });
    make(svg, "text", { x: box.left - 8, y: y(value) + 4, "text-anchor": "end" }, written(value));
  }
  for (const value of ticks(data.x_max, box.right - box.left > 420 ? 6 : 4)) {
    make(svg, "line", { x1: x(value), x2: x(value), y1: box.bottom, y2: box.bottom + 4, stroke: INK });
    make(svg, "text", { x: x(value), y: box.bottom + 17, "text-anchor": "middle" }, written(value));
  }
  make(svg, "line", { x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom, stroke: INK });
  make(svg, "text", { x: (box.left + box.right) / 2, y: HEIGHT - 8, "text-anchor": "middle" }, data.x_label);
  const middle = (box.top + box.bottom) / 2;
  make(svg, "text", { x: 14, y: middle, "text-anchor": "middle", transform: `rotate(-90 14 ${middle})` }, data.y_label);
}

function curve(inside, { color, dash, marker, train, val }, x, y, isCurrent) {
  const path = train.map(([step, loss]) => `${x(step).toFixed(1)},${y(loss).toFixed(1)}`).join(" ");
  make(inside, "polyline", {
    class: isCurrent ? "curve current" : "curve finished", points: path, fill: "none", stroke: color,
    "stroke-width": isCurrent ? 1.8 : 1.3, "stroke-dasharray": dash, "stroke-linejoin": "round",
  });
  for (const [step, loss] of val)
    make(inside, "path", {
      class: "dot", d: marker, fill: color, stroke: PAPER, "stroke-width": 1, transform: `translate(${x(step)} ${y(loss)})`,
    });
}

// A small mark at a step with its words; words that would cover others are left to the pointer. They stand high, where
// a curve is only at its beginning.
function notes(svg, { color, notes }, x, box, taken) {
  const height = box.top + 0.22 * (box.bottom - box.top);
  for (const [step, text] of notes) {
    const mark = make(svg, "g", { class: "note" });
    make(mark, "title", {}, `from step ${step} on: ${text}`);
    make(mark, "line", { x1: x(step), x2: x(step), y1: box.bottom, y2: height + 4, stroke: color, "stroke-dasharray": "1 3" });
    make(mark, "path", { d: "M-4 -7h8l-4 7z", fill: color, transform: `translate(${x(step)} ${box.bottom})` });
    const words = make(mark, "text", {
      y: height, stroke: PAPER, "stroke-width": 4, "paint-order": "stroke", "stroke-linejoin": "round",
    }, text);
    const width = words.getComputedTextLength();
    const left = Math.min(Math.max(x(step) - width / 2, box.left + 2), box.right - width);
    words.setAttribute("x", left);
    if (taken.some(([from, to]) => left < to + 8 && left + width + 8 > from)) words.remove();
    else taken.push([left, left + width]);
  }
}

function draw(svg, data, finished, width, clip) {
  svg.replaceChildren();
  svg.setAttribute("width", width);
  svg.setAttribute("height", HEIGHT);
  svg.setAttribute("aria-label", data.alt);
  const gutter = data.lines.length ? GUTTER : 16;
  const box = { left: MARGIN.left, right: width - gutter, bottom: HEIGHT - MARGIN.bottom };
  box.top = MARGIN.top + legend(svg, data.legend, width - 8) * ROW + 4;
  const x = (step) => box.left + (step / data.x_max) * (box.right - box.left);
  const y = (loss) => box.bottom - (loss / data.y_max) * (box.bottom - box.top);

  const frame = { x: box.left - 6, y: box.top, width: box.right - box.left + 12, height: box.bottom - box.top };
  make(make(svg, "clipPath", { id: clip }), "rect", frame);
  axes(svg, data, x, y, box);
  for (const { value } of data.lines)
    make(svg, "line", {
      class: "reference", x1: box.left, x2: box.right, y1: y(value), y2: y(value), stroke: INK, "stroke-dasharray": "6 4",
    });
  lineLabels(svg, data.lines, y, box.right, box.top, box.bottom);
  const inside = make(svg, "g", { "clip-path": `url(#${clip})` });
  for (const one of finished) curve(inside, one, x, y, false);
  if (data.curve) curve(inside, data.curve, x, y, true);
  const taken = [];
  for (const one of [...(data.curve ? [data.curve] : []), ...finished]) notes(svg, one, x, box, taken);
}

function render({ model, el }) {
  // Two charts of one name would cut each other off.
  const clip = unique("clip");
  const frame = named(el, "div", "course-lab-chart", `width: 100%; max-width: 900px; min-height: ${HEIGHT + 40}px; color: ${INK};`);
  const svg = make(frame, "svg", { role: "img", style: `font: 12px sans-serif; fill: ${INK}; display: block;` });
  const status = named(frame, "div", "course-lab-status", `font: 13px/1.5 sans-serif; min-height: 3em; padding-left: ${MARGIN.left}px; font-variant-numeric: tabular-nums;`);
  // The state is read out when it changes; the numbers, which always do, are not.
  const state = add(status, "b");
  state.setAttribute("role", "status");
  const numbers = add(status, "span");

  const redraw = () => {
    const data = model.get("data");
    draw(svg, data, model.get("finished"), Math.max(360, frame.clientWidth || 760), clip);
    if (state.textContent !== data.state) state.textContent = data.state;
    numbers.textContent = (data.state && data.status ? ": " : "") + data.status;
  };
  return follow(model, { "": redraw }, frame, redraw); // once for all that came in one message
}

export default { render };
