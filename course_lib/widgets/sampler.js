// The next character's probabilities as bars, and the last draw as a dart on a line. Python computes: see sampler.py.

const HEIGHT = 190;
const BASE = 150; // where the bars stand
const TOP = 18;
const LEFT = 40;
const STRIP = 58; // height of the picture of the last draw

// An outline is the probability after temperature; the filled bar what is left of it, or has grown, after the cuts.
function bars(svg, data, width) {
  svg.replaceChildren();
  svg.setAttribute("width", width);
  svg.setAttribute("aria-label", data.alt);
  const all = data.rest.sign ? [...data.bars, data.rest] : data.bars;
  if (!all.length) return;
  const highest = Math.max(...all.map((bar) => Math.max(bar.p, bar.left)));
  const y = shareAxis(svg, highest, { left: LEFT, right: width, top: TOP, base: BASE });
  const wide = data.rest.sign ? 44 : 0; // the others' bar has room for its name
  const slot = (width - LEFT - wide) / data.bars.length;
  all.forEach((bar, i) => {
    const isRest = i === data.bars.length;
    const x = LEFT + i * slot;
    const middle = x + (isRest ? wide : slot) / 2;
    const each = Math.min(slot * 0.78, 34);
    const group = make(svg, "g", { class: bar.kept ? "bar kept" : bar.cut ? "bar cut" : "bar" });
    make(group, "title", {}, `${bar.sign}: ${(100 * bar.p).toFixed(2)}% after temperature, ${(100 * bar.left).toFixed(2)}% after the cuts`);
    if (bar.kept)
      make(group, "rect", { class: "left", x: middle - each / 2, width: each, y: y(bar.left), height: Math.max(BASE - y(bar.left), 0.5), fill: "#2E8BC9", "fill-opacity": 0.85 });
    make(group, "rect", {
      class: "whole", x: middle - each / 2, width: each, y: y(bar.p), height: Math.max(BASE - y(bar.p), 0.5), fill: "none",
      stroke: INK, "stroke-width": 1.2, "stroke-dasharray": bar.cut ? "3 2" : "",
    });
    const room = slot > 26 || bar.left >= 0.095;
    if (bar.kept && room)
      make(group, "text", { x: middle, y: Math.max(Math.min(y(bar.left), y(bar.p)) - 4, 10), "text-anchor": "middle", "font-size": 10 }, shortPercent(bar.left));
    const ink = { "text-anchor": "middle", x: middle, "fill-opacity": bar.kept ? 1 : 0.75 };
    if (isRest) bar.sign.split(" ").forEach((word, line) => make(group, "text", { ...ink, y: BASE + 16 + 13 * line }, word));
    else make(group, "text", { ...ink, class: "sign", y: BASE + 18, "font-size": 15, "font-family": "monospace" }, bar.sign);
    if (bar.cut && !isRest)
      make(group, "text", { x: middle, y: BASE + 33, "text-anchor": "middle", "font-size": 10, "fill-opacity": 0.75 }, "cut");
  });
}

// The line from 0 to 1, a piece for each character that could be drawn, and the dart that hit one of them.
function dart(svg, data, width) {
  svg.replaceChildren();
  svg.setAttribute("width", width);
  const { pieces, u } = data.last;
  const isDrawn = Boolean(pieces && pieces.length);
  svg.style.display = isDrawn ? "block" : "none";
  if (!isDrawn) return;
  const x = (share) => LEFT + share * (width - LEFT - 12);
  const drawn = pieces.find((piece) => piece.drawn);
  const which = data.earlier ? "An earlier draw, before the settings changed" : "The last draw";
  svg.style.opacity = data.earlier ? 0.75 : 1;
  svg.setAttribute("aria-label", `${which}: the dart fell at ${u} and hit ${drawn.sign}, which had ${shortPercent(drawn.p)}.`);
  make(svg, "rect", { x: x(0), y: 26, width: x(1) - x(0), height: 26, fill: "none", stroke: INK, "stroke-opacity": 0.5 });
  for (const piece of pieces) {
    const wide = x(piece.start + piece.p) - x(piece.start);
    const group = make(svg, "g", { class: piece.drawn ? "piece drawn" : "piece" });
    make(group, "title", {}, `${piece.sign}: from ${piece.start.toFixed(3)} to ${(piece.start + piece.p).toFixed(3)}`);
    make(group, "rect", {
      x: x(piece.start), y: 26, width: Math.max(wide, 1), height: 26, stroke: INK, "stroke-width": piece.drawn ? 2 : 0.6,
      fill: piece.drawn ? "#E69F00" : "none", "fill-opacity": 0.6,
    });
    if (wide > 12) make(group, "text", { x: x(piece.start) + wide / 2, y: 44, "text-anchor": "middle", "font-family": "monospace", "font-size": 14 }, piece.sign);
  }
  make(svg, "path", { class: "dart", d: `M${x(u) - 6} 12h12L${x(u)} 26z`, fill: "#D55E00", stroke: INK });
  const right = u > 0.6;
  make(svg, "text", { x: x(u) + (right ? -10 : 10), y: 19, "text-anchor": right ? "end" : "start" }, `${which.toLowerCase()}: u = ${u.toFixed(3)}`);
}

function trail(place, data) {
  place.replaceChildren();
  place.style.opacity = data.earlier ? 0.75 : 1;
  data.trail.forEach((step, i) => {
    const isLast = i === data.trail.length - 1;
    const chip = named(place, "span", isLast ? "chip last" : "chip", `display: inline-block; text-align: center; min-width: 22px; padding: 0 2px; border-radius: 3px; border: ${isLast ? "2px solid #D55E00" : "1px solid #808080"};`);
    add(chip, "span", "display: block; font: 15px/20px monospace;", step.sign);
    add(chip, "span", "display: block; font-size: 10px; line-height: 13px;", shortPercent(step.p));
  });
}

function render({ model, el }) {
  const frame = named(el, "div", "course-lab-chart course-lab-next", `box-sizing: border-box; width: 100%; max-width: 900px; color: ${INK}; font: 13px/1.5 sans-serif;`);
  const { rewrite } = textBox(frame, model, "The text so far: type here", 4);
  const buttons = named(frame, "div", "course-lab-buttons", "display: flex; gap: 8px; flex-wrap: wrap; margin-bottom: 6px;");
  const chart = make(frame, "svg", { ...PICTURE, class: "course-lab-bars", height: HEIGHT });
  const status = named(frame, "div", "course-lab-status", "min-height: 1.5em; padding: 0 4px 6px; font-variant-numeric: tabular-nums;");
  status.setAttribute("role", "status");
  const strip = make(frame, "svg", { ...PICTURE, class: "course-lab-dart", height: STRIP });
  const drawn = named(frame, "div", "course-lab-trail", "display: flex; flex-wrap: wrap; gap: 3px; padding: 6px 0 6px 4px;");
  drawn.setAttribute("role", "img");

  let number = 0;
  for (const [name, count] of [["Draw one", 1], ["Draw 40", 40], ["Start over", 0]]) {
    const button = add(buttons, "button", BUTTON, name);
    button.addEventListener("click", () => {
      model.set("ask", { count, number: ++number + Date.now() });
      model.save_changes();
    });
  }
  const redraw = () => {
    const data = model.get("data");
    const width = widthOf(frame);
    bars(chart, data, width);
    dart(strip, data, width);
    trail(drawn, data);
    drawn.setAttribute("aria-label", data.trail.length ? `Drawn ${data.earlier ? "earlier" : "so far"}: ${data.trail.map((step) => step.sign).join("")}` : "Nothing drawn yet");
    if (status.textContent !== data.status) status.textContent = data.status;
  };
  return follow(model, { data: redraw, text: rewrite }, frame, redraw);
}

export default { render };
