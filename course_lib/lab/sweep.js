// The valley of a sweep: loss against a setting on a log axis. Python sends what is to be seen (see sweep_view.py).

const HEIGHT = 300;
const EDGE = { left: 60, right: 18, top: 14, bottom: 50 };
const TEXT = "min-height: 1.5em; padding-left: 16px;";
const HALO = { stroke: PAPER, "stroke-width": 4, "paint-order": "stroke", "stroke-linejoin": "round" };

function axes(svg, data, x, y, box) {
  for (const value of data.y_ticks) {
    make(svg, "line", { x1: box.left, x2: box.right, y1: y(value), y2: y(value), stroke: INK, "stroke-opacity": 0.13 });
    make(svg, "text", { x: box.left - 8, y: y(value) + 4, "text-anchor": "end" }, String(Number(value.toPrecision(6))));
  }
  make(svg, "line", { x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom, stroke: INK });
  for (const point of data.points) {
    make(svg, "line", { x1: x(point.value), x2: x(point.value), y1: box.bottom, y2: box.bottom + 5, stroke: INK });
    make(svg, "text", { class: "tried", x: x(point.value), y: box.bottom + 19, "text-anchor": "middle" }, point.label);
  }
  make(svg, "text", { x: (box.left + box.right) / 2, y: HEIGHT - 10, "text-anchor": "middle" }, data.x_label);
  const middle = (box.top + box.bottom) / 2;
  make(svg, "text", { x: 15, y: middle, "text-anchor": "middle", transform: `rotate(-90 15 ${middle})` }, data.y_label);
}

const line = (points, x, y, of) => points.map((point) => `${x(point.value).toFixed(1)},${y(point[of]).toFixed(1)}`).join(" ");

// What no reader of so many letters can beat, at each value; and the loss of knowing nothing, where it is near.
function marks(svg, data, x, y, box) {
  const dashed = { fill: "none", stroke: INK, "stroke-dasharray": "6 4" };
  const known = data.points.filter((point) => point.floor !== null);
  if (known.length) {
    // The floor of one rate is that of all, and a line of one point cannot be seen.
    const isOne = known.every((point) => point.floor === known[0].floor);
    if (isOne) make(svg, "line", { class: "floor", x1: box.left, x2: box.right, y1: y(known[0].floor), y2: y(known[0].floor), ...dashed });
    else make(svg, "polyline", { class: "floor", points: line(known, x, y, "floor"), ...dashed });
    const words = make(svg, "text", { x: box.right, y: y(known.at(-1).floor) + 15, "text-anchor": "end", ...HALO }, data.floor_label);
    if (words.getComputedTextLength() > box.right - box.left) {
      words.textContent = data.floor_label.split(":")[0]; // in a narrow chart the number alone has room
      make(words, "title", {}, data.floor_label);
    }
  }
  if (data.nothing <= data.y_max) {
    make(svg, "line", { class: "nothing", x1: box.left, x2: box.right, y1: y(data.nothing), y2: y(data.nothing), ...dashed });
    make(svg, "text", { x: box.right, y: y(data.nothing) - 5, "text-anchor": "end", ...HALO }, data.nothing_label);
  }
}

// One run, or several seeds of it: a disk with its loss, a bar from the lowest seed to the highest.
function drawPoint(svg, data, point, i, x, y, box) {
  const [at, isGood] = [x(point.value), i === data.good];
  if (point.diverged) {
    make(svg, "path", { class: "diverged", d: "M-7 5h14l-7 -12z", fill: "#D55E00", transform: `translate(${at} ${box.top + 10})` });
    make(svg, "text", { x: at, y: box.top + 30, "text-anchor": "middle", ...HALO }, "diverged");
    return;
  }
  if (point.loss === null) return; // not run yet
  const height = y(point.loss);
  if (point.low !== point.high)
    for (const [a, b, c, d] of [[0, 0, point.low, point.high], [-5, 5, point.low, point.low], [-5, 5, point.high, point.high]])
      make(svg, "line", { class: "seeds", x1: at + a, x2: at + b, y1: y(c), y2: y(d), stroke: data.color, "stroke-width": 1.6 });
  if (isGood) {
    make(svg, "line", { x1: at, x2: at, y1: height, y2: box.bottom, stroke: data.good_color, "stroke-dasharray": "2 3", "stroke-width": 1.6 });
    make(svg, "circle", { class: "good", cx: at, cy: height, r: 10, fill: "none", stroke: data.good_color, "stroke-width": 3 });
  }
  make(svg, "circle", { class: "point", cx: at, cy: height, r: 5, fill: data.color, stroke: PAPER, "stroke-width": 1 });
  const text = make(svg, "text", { x: at, y: Math.min(height, y(point.high)) - 15, "text-anchor": "middle", ...HALO }, point.loss_label);
  if (isGood) {
    text.setAttribute("font-weight", "bold");
    text.textContent = data.good_word + point.loss_label;
  }
  const half = text.getComputedTextLength() / 2; // at the ends of the axis there may be no room for all of it
  text.setAttribute("x", Math.min(Math.max(at, box.left + half), box.right + EDGE.right - 2 - half));
}

function draw(svg, data, width, chosen) {
  svg.replaceChildren();
  svg.setAttribute("width", width);
  svg.setAttribute("height", HEIGHT);
  svg.setAttribute("aria-label", data.alt);
  const box = { left: EDGE.left, right: width - EDGE.right, top: EDGE.top, bottom: HEIGHT - EDGE.bottom };
  const [low, high] = [data.points[0].value, data.points.at(-1).value].map(Math.log);
  const inset = Math.min(60, 0.09 * width);
  const x = (value) =>
    high > low
      ? box.left + inset + ((Math.log(value) - low) / (high - low)) * (box.right - box.left - 2 * inset)
      : (box.left + box.right) / 2;
  const y = (loss) => box.bottom - ((loss - data.y_min) / (data.y_max - data.y_min)) * (box.bottom - box.top);
  if (data.limit !== null) {
    const top = Math.max(box.top, y(data.limit));
    const size = { x: box.left, width: box.right - box.left, y: top, height: y(data.points[data.good].loss) - top };
    make(svg, "rect", { class: "close", ...size, fill: data.good_color, "fill-opacity": 0.16 });
  }
  axes(svg, data, x, y, box);
  marks(svg, data, x, y, box);
  const sound = data.points.filter((point) => point.loss !== null && !point.diverged);
  make(svg, "polyline", { class: "valley", points: line(sound, x, y, "loss"), fill: "none", stroke: data.color, "stroke-width": 2 });
  data.points.forEach((point, i) => drawPoint(svg, data, point, i, x, y, box));
  if (chosen !== null)
    make(svg, "line", { class: "chosen", x1: x(data.points[chosen].value), x2: x(data.points[chosen].value), y1: box.top, y2: box.bottom, stroke: INK, "stroke-opacity": 0.55 });
  return data.points.map((point) => x(point.value));
}

function render({ model, el }) {
  const frame = named(el, "div", "course-lab-chart course-lab-sweep-chart", `width: 100%; max-width: 900px; color: ${INK}; font: 13px/1.5 sans-serif;`);
  const heading = named(frame, "div", "course-lab-sweep-heading", `${TEXT} font-weight: bold;`);
  const pad = named(frame, "div", "course-lab-sweep-pad", "cursor: crosshair;");
  Object.assign(pad, { tabIndex: 0 });
  pad.setAttribute("role", "group");
  pad.setAttribute("aria-label", "The sweep's points: left and right arrow go from one to the next");
  const svg = make(pad, "svg", { role: "img", style: `font: 12px sans-serif; fill: ${INK}; display: block;` });
  const about = named(frame, "div", "course-lab-sweep-point", TEXT);
  about.setAttribute("role", "status");
  const status = named(frame, "div", "course-lab-status", `${TEXT} font-variant-numeric: tabular-nums;`);
  let chosen = null;
  let places = [];
  const redraw = () => {
    const data = model.get("data");
    if (chosen !== null && chosen >= data.points.length) chosen = null;
    places = draw(svg, data, widthOf(frame), chosen);
    const words = chosen === null ? data.hint : data.points[chosen].words;
    if (about.textContent !== words) about.textContent = words;
    status.textContent = data.status;
    heading.textContent = data.heading;
  };
  const choose = (which) => {
    if (which === chosen) return;
    chosen = which;
    redraw();
  };
  pad.addEventListener("pointermove", (event) => {
    const at = event.clientX - svg.getBoundingClientRect().left;
    const distance = (place) => Math.abs(place - at);
    choose(places.reduce((best, place, i) => (distance(place) < distance(places[best]) ? i : best), 0));
  });
  pad.addEventListener("pointerleave", () => pad !== document.activeElement && choose(null));
  pad.addEventListener("blur", () => choose(null));
  keepKeys(pad);
  pad.addEventListener("keydown", (event) => {
    const last = places.length - 1;
    const to = { ArrowLeft: (chosen ?? places.length) - 1, ArrowRight: (chosen ?? -1) + 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    choose(Math.min(last, Math.max(0, to)));
  });
  return follow(model, { data: redraw }, frame, redraw);
}

export default { render };
