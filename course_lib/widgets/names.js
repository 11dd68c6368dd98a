// What may follow a letter, as bars that move while the model learns, and its loss. Python trains: see names.py.

const HEIGHT = 212;
const BASE = 170; // where the bars stand
const TOP = 36;
const LEFT = 44;
const RIGHT = 8;
const CURVE = { height: 150, top: 12, bottom: 34 };

// A bar is the model's guess; the short line over or in it is how often the list itself has that letter there.
function drawBars(svg, data, width) {
  svg.replaceChildren();
  svg.setAttribute("width", width);
  svg.setAttribute("aria-label", data.alt);
  const highest = Math.max(...data.bars.map((bar) => Math.max(bar.p, bar.truth)));
  const y = shareAxis(svg, highest, { left: LEFT, right: width - RIGHT, top: TOP, base: BASE });
  const slot = (width - LEFT - RIGHT) / data.bars.length;
  const each = Math.min(slot * 0.72, 28);
  data.bars.forEach((bar, i) => {
    const middle = LEFT + (i + 0.5) * slot;
    const group = make(svg, "g", { class: "bar" });
    make(group, "title", {}, `${bar.sign}: the model ${(100 * bar.p).toFixed(1)}%, the list ${(100 * bar.truth).toFixed(1)}%`);
    make(group, "rect", {
      class: "guess", x: middle - each / 2, width: each, y: y(bar.p), height: Math.max(BASE - y(bar.p), 0.5),
      fill: "#2E8BC9", "fill-opacity": 0.85,
    });
    make(group, "line", {
      class: "truth", x1: middle - slot * 0.44, x2: middle + slot * 0.44, y1: y(bar.truth), y2: y(bar.truth),
      stroke: "#D55E00", "stroke-width": 2.5,
    });
    const near = y(bar.truth) < y(bar.p) && y(bar.truth) > y(bar.p) - 16; // the line would go through the words
    if (bar.p >= 0.095 || (bar.p > 0.06 && slot > 30))
      make(group, "text", { x: middle, y: (near ? y(bar.truth) : y(bar.p)) - 5, "text-anchor": "middle", "font-size": 10 }, shortPercent(bar.p));
    const size = bar.sign.length > 1 ? Math.min(11, 0.55 * slot) : 15;
    make(group, "text", { class: "sign", x: middle, y: BASE + 18, "text-anchor": "middle", "font-size": size, "font-family": "monospace" }, bar.sign);
  });
  make(svg, "text", { x: LEFT, y: 12, "font-weight": "bold" }, data.title);
  make(svg, "text", { x: LEFT, y: HEIGHT - 6 }, "bars: the model's guess; lines: how often the list has it");
}

// The mean loss of the last names, under a dashed line for knowing nothing.
function drawCurve(svg, data, width) {
  svg.replaceChildren();
  svg.setAttribute("width", width);
  const losses = data.curve.map(([, loss]) => loss);
  const now = losses.length ? losses[losses.length - 1].toFixed(2) : "not measured yet";
  svg.setAttribute("aria-label", `The mean loss of the last names: ${now}; knowing nothing is ${data.nothing.toFixed(2)}.`);
  const worst = Math.min(Math.max(data.nothing, ...losses), 3 * data.nothing);
  const top = Math.ceil(1.05 * worst);
  const x = (step) => LEFT + (step / data.steps) * (width - LEFT - 12);
  const y = (loss) => CURVE.top + (1 - Math.min(loss, top) / top) * (CURVE.height - CURVE.top - CURVE.bottom);
  make(svg, "path", { d: `M${x(0)} ${CURVE.top}V${y(0)}H${x(data.steps)}`, fill: "none", stroke: INK, "stroke-opacity": 0.7 });
  for (const tick of [0, top]) make(svg, "text", { x: LEFT - 5, y: y(tick) + 4, "text-anchor": "end" }, String(tick));
  for (const tick of [0, data.steps]) make(svg, "text", { x: x(tick), y: y(0) + 14, "text-anchor": tick ? "end" : "start" }, String(tick));
  make(svg, "text", { x: x(data.steps / 2), y: y(0) + 14, "text-anchor": "middle" }, "completed steps");
  make(svg, "text", { x: 12, y: (y(0) + CURVE.top) / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${(y(0) + CURVE.top) / 2})` }, "loss (nats)");
  make(svg, "line", { class: "reference", x1: x(0), x2: x(data.steps), y1: y(data.nothing), y2: y(data.nothing), stroke: INK, "stroke-opacity": 0.6, "stroke-dasharray": "5 4" });
  make(svg, "text", { x: x(data.steps), y: y(data.nothing) - 4, "text-anchor": "end" }, `knowing nothing: ${data.nothing.toFixed(2)}`);
  const points = data.curve.map(([step, loss]) => `${x(step).toFixed(1)},${y(loss).toFixed(1)}`).join(" ");
  make(svg, "polyline", { class: "curve", points, fill: "none", stroke: "#2E8BC9", "stroke-width": 2 });
}

function render({ model, el }) {
  const frame = named(el, "div", "course-lab-chart course-lab-name-view", `box-sizing: border-box; width: 100%; max-width: 900px; color: ${INK}; font: 13px/1.5 sans-serif;`);
  const bars = make(frame, "svg", { ...PICTURE, class: "course-lab-bars", height: HEIGHT });
  const status = named(frame, "div", "course-lab-status", "min-height: 1.5em; padding: 4px; font-variant-numeric: tabular-nums;");
  const writes = named(frame, "div", "course-lab-writes", "min-height: 1.5em; padding: 0 4px 6px;");
  const curve = make(frame, "svg", { ...PICTURE, class: "course-lab-curve", height: CURVE.height });
  const redraw = () => {
    const data = model.get("data");
    const width = widthOf(frame);
    drawBars(bars, data, width);
    drawCurve(curve, data, width);
    status.textContent = data.status;
    writes.textContent = `It writes now: ${data.writes.join(", ")}`;
  };
  return follow(model, { data: redraw }, frame, redraw);
}

export default { render };
