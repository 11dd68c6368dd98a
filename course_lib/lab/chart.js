// The live loss chart. Python sends what is to be seen (see chart.py); here it becomes pixels.

const NS = "http://www.w3.org/2000/svg";
const HEIGHT = 320;
const MARGIN = { left: 58, right: 16, top: 26, bottom: 46 };
// The page's own text color: JupyterLab, the book, VS Code, Colab, or the browser's.
const INK =
  "var(--jp-ui-font-color1, var(--pst-color-text-base, var(--vscode-foreground, var(--colab-primary-text-color, CanvasText))))";
let charts = 0;

function make(parent, tag, attributes, text) {
  const node = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  parent.appendChild(node);
  return node;
}

// Round numbers from 0 to `end`, about `count` of them: steps of 1, 2 or 5 times a power of ten.
function ticks(end, count) {
  const raw = end / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
  return Array.from({ length: Math.floor(end / step + 1e-9) + 1 }, (_, i) => i * step);
}

const written = (value) => String(Number(value.toPrecision(6)));

function draw(svg, data, width, clip) {
  svg.replaceChildren();
  svg.setAttribute("width", width);
  svg.setAttribute("height", HEIGHT);
  svg.setAttribute("aria-label", data.alt);
  const right = width - MARGIN.right;
  const bottom = HEIGHT - MARGIN.bottom;
  const x = (step) => MARGIN.left + (step / data.x_max) * (right - MARGIN.left);
  const y = (loss) => bottom - (loss / data.y_max) * (bottom - MARGIN.top);

  const area = make(make(svg, "clipPath", { id: clip }), "rect", {});
  const box = { x: MARGIN.left - 6, y: MARGIN.top, width: right - MARGIN.left + 12, height: bottom - MARGIN.top };
  for (const [name, value] of Object.entries(box)) area.setAttribute(name, value);

  for (const value of ticks(data.y_max, 5)) {
    make(svg, "line", { x1: MARGIN.left, x2: right, y1: y(value), y2: y(value), stroke: INK, "stroke-opacity": 0.15 });
    make(svg, "text", { x: MARGIN.left - 8, y: y(value) + 4, "text-anchor": "end" }, written(value));
  }
  for (const value of ticks(data.x_max, 6)) {
    make(svg, "line", { x1: x(value), x2: x(value), y1: bottom, y2: bottom + 4, stroke: INK });
    make(svg, "text", { x: x(value), y: bottom + 18, "text-anchor": "middle" }, written(value));
  }
  make(svg, "line", { x1: MARGIN.left, x2: right, y1: bottom, y2: bottom, stroke: INK });
  make(svg, "text", { x: (MARGIN.left + right) / 2, y: HEIGHT - 8, "text-anchor": "middle" }, data.x_label);
  const middle = (MARGIN.top + bottom) / 2;
  make(svg, "text", { x: 14, y: middle, "text-anchor": "middle", transform: `rotate(-90 14 ${middle})` }, data.y_label);

  for (const { label, value } of data.lines) {
    make(svg, "line", {
      class: "reference", x1: MARGIN.left, x2: right, y1: y(value), y2: y(value), stroke: INK, "stroke-dasharray": "6 4",
    });
    make(svg, "text", { x: right, y: y(value) - 5, "text-anchor": "end" }, label);
  }

  const inside = make(svg, "g", { "clip-path": `url(#${clip})` });
  let legend = MARGIN.left + 6;
  for (const { label, kind, color, points } of data.marks) {
    if (kind === "line") {
      const path = points.map(([step, loss]) => `${x(step).toFixed(1)},${y(loss).toFixed(1)}`).join(" ");
      make(inside, "polyline", { class: "curve", points: path, fill: "none", stroke: color, "stroke-width": 1.7 });
      make(svg, "line", { x1: legend, x2: legend + 20, y1: 11, y2: 11, stroke: color, "stroke-width": 2 });
    } else {
      for (const [step, loss] of points) make(inside, "circle", { class: "dot", cx: x(step), cy: y(loss), r: 4, fill: color });
      make(svg, "circle", { cx: legend + 10, cy: 11, r: 4, fill: color });
    }
    legend += make(svg, "text", { x: legend + 26, y: 15 }, label).getComputedTextLength() + 44;
  }
}

function render({ model, el }) {
  const clip = `course-lab-clip-${charts++}`;
  const frame = document.createElement("div");
  frame.className = "course-lab-chart";
  frame.style.cssText = `width: 100%; max-width: 760px; min-height: ${HEIGHT + 24}px; color: ${INK};`;
  const svg = make(frame, "svg", { role: "img", style: `font: 12px sans-serif; fill: ${INK}; display: block;` });
  const status = document.createElement("div");
  status.className = "course-lab-status";
  status.style.cssText = `font: 13px sans-serif; min-height: 1.5em; padding-left: ${MARGIN.left}px; font-variant-numeric: tabular-nums;`;
  frame.appendChild(status);
  el.appendChild(frame);

  const redraw = () => {
    const data = model.get("data");
    draw(svg, data, Math.max(320, frame.clientWidth || 760), clip);
    status.textContent = data.status;
  };
  model.on("change:data", redraw);
  const observer = new ResizeObserver(redraw);
  observer.observe(frame);
  redraw();
  return () => {
    observer.disconnect();
    model.off("change:data", redraw);
  };
}

export default { render };
