// The windows of one step. Python sends what is to be seen (see windows.py); here it becomes a strip and letters.

const HEIGHT = 112;
const SIDE = 12; // left and right of the strip
const TOP = 34; // of the strip
const BAR = 40; // its height
const MOVES = { ArrowUp: -1, ArrowDown: 1 };

const counted = (value) => value.toLocaleString("en-US");

// Training is filled as far as it has been read, validation is hatched: no part is told by its color alone.
function parts(svg, data, x, hatch) {
  const pattern = make(svg, "pattern", { id: hatch, width: 7, height: 7, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
  make(pattern, "line", { x1: 0, x2: 0, y1: 0, y2: 7, stroke: INK, "stroke-width": 1.6, "stroke-opacity": 0.55 });
  const each = data.cut / data.read.length;
  data.read.forEach((share, i) => {
    if (share > 0)
      make(svg, "rect", {
        class: "read", x: x(i * each), width: Math.max(x((i + 1) * each) - x(i * each), 0.5),
        y: TOP + BAR * (1 - share), height: BAR * share, fill: "#56B4E9", "fill-opacity": 0.55,
      });
  });
  const frame = { y: TOP, height: BAR, stroke: INK, "stroke-width": 1 };
  make(svg, "rect", { ...frame, x: x(0), width: x(data.cut) - x(0), fill: "none" });
  make(svg, "rect", { ...frame, class: "val", x: x(data.cut), width: x(data.n) - x(data.cut), fill: `url(#${hatch})` });
  const halo = { stroke: PAPER, "stroke-width": 4, "paint-order": "stroke", "stroke-linejoin": "round" };
  make(svg, "text", { ...halo, x: x(0) + 6, y: TOP + BAR / 2 + 4 }, "training");
  const name = make(svg, "text", { ...halo, x: x(data.n) - 3, y: TOP + BAR / 2 + 4, "text-anchor": "end" }, "validation");
  if (name.getComputedTextLength() + 6 < x(data.n) - x(data.cut)) {
    name.setAttribute("x", x((data.cut + data.n) / 2));
    name.setAttribute("text-anchor", "middle");
  }
  make(svg, "text", { class: "at", x: x(0), y: TOP + BAR + 17 }, "token 0");
  make(svg, "text", { class: "at", x: x(data.cut), y: TOP + BAR + 17, "text-anchor": "end" }, counted(data.cut));
  const end = make(svg, "text", { class: "at", x: x(data.n), y: TOP + BAR + 17, "text-anchor": "end" }, counted(data.n));
  if (end.getComputedTextLength() + 8 > x(data.n) - x(data.cut)) end.remove();
}

// A triangle points at where each window starts; the chosen one is larger, stands on a line, and is named.
function marks(svg, data, x, choose) {
  const order = data.starts.map((_, i) => i).sort((a, b) => (a === data.chosen) - (b === data.chosen));
  for (const i of order) {
    const isChosen = i === data.chosen;
    const at = x(data.starts[i]);
    const size = isChosen ? 8 : 5;
    const mark = make(svg, "g", { class: isChosen ? "mark chosen" : "mark", cursor: "pointer" });
    make(mark, "title", {}, `window ${i}, from token ${counted(data.starts[i])}`);
    if (isChosen) make(mark, "line", { x1: at, x2: at, y1: TOP, y2: TOP + BAR, stroke: INK, "stroke-width": 2 });
    make(mark, "path", {
      d: `M${at - size} ${TOP - 1.7 * size}h${2 * size}L${at} ${TOP}z`,
      fill: isChosen ? "#D55E00" : "#0072B2", stroke: isChosen ? INK : PAPER, "stroke-width": 1,
    });
    mark.addEventListener("click", () => choose(i));
    if (isChosen) {
      const text = make(svg, "text", { class: "name", y: TOP - 18 }, `window ${i}`);
      const width = text.getComputedTextLength();
      text.setAttribute("x", Math.min(Math.max(at - width / 2, x(0)), x(data.n) - width));
    }
  }
}

// x over y, a column for each place: what goes in, and under it what should come out.
function letters(place, data) {
  place.replaceChildren();
  const table = add(place, "table", "border-collapse: collapse; font: 14px/1.5 monospace; color: inherit; background: none;");
  for (const [row, name] of [["t", "position"], ["x", "x, goes in"], ["y", "y, the next"]]) {
    const line = add(table, "tr", row === "t" ? "opacity: 0.75; font-size: 11px; background: none;" : "background: none;");
    add(line, "th", "text-align: left; font: 12px sans-serif; padding: 0 12px 0 0; white-space: nowrap;", name).scope = "row";
    for (const column of data.columns)
      add(line, "td", `text-align: center; padding: 0 2px; min-width: 1.2em; ${row === "t" ? "" : "border: 1px solid color-mix(in srgb, currentColor 30%, transparent);"}`, String(column[row]));
  }
}

function list(place, data, choose) {
  place.replaceChildren();
  data.starts.forEach((start, i) => {
    const isChosen = i === data.chosen;
    const button = add(
      place, "button",
      `display: block; width: 100%; text-align: left; font: 13px/1.6 monospace; color: inherit; cursor: pointer; white-space: pre; overflow: hidden; text-overflow: ellipsis; border: 0; border-left: 4px solid ${isChosen ? "#D55E00" : "transparent"}; background: none; font-weight: ${isChosen ? "bold" : "normal"};`,
      `${isChosen ? "▸" : " "}${String(i).padStart(3)}  from ${counted(start).padStart(9)}  ${data.texts[i]}`,
    );
    button.setAttribute("aria-pressed", String(isChosen));
    button.addEventListener("click", () => choose(i));
  });
}

// Scrolls inside the list alone, and only as far as needed; the page stays where it is.
function reveal(rows, line) {
  const [box, at] = [rows.getBoundingClientRect(), line.getBoundingClientRect()];
  if (at.top < box.top) rows.scrollTop -= box.top - at.top;
  else if (at.bottom > box.bottom) rows.scrollTop += at.bottom - box.bottom;
}

function render({ model, el }) {
  const hatch = unique("hatch");
  const frame = named(el, "div", "course-lab-chart course-lab-strip", `width: 100%; max-width: 900px; color: ${INK}; font: 13px/1.5 sans-serif;`);
  const svg = make(frame, "svg", { ...PICTURE, height: HEIGHT });
  svg.style.fontSize = "12px";
  const status = named(frame, "div", "course-lab-status", "min-height: 1.5em; padding: 0 12px 8px; font-variant-numeric: tabular-nums;");
  const table = named(frame, "div", "course-lab-letters", "overflow-x: auto; padding: 0 12px 8px;");
  const rows = named(frame, "div", "course-lab-rows", "max-height: 11.5em; overflow-y: auto; padding: 0 8px;");
  rows.setAttribute("role", "group");
  rows.setAttribute("aria-label", "The windows of this step");

  const choose = (i) => {
    model.set("chosen", i);
    model.save_changes();
  };
  keepKeys(rows);
  rows.addEventListener("keydown", (event) => {
    const from = [...rows.children].indexOf(document.activeElement);
    if (from < 0 || !(event.key in MOVES)) return;
    event.preventDefault();
    const to = Math.min(Math.max(from + MOVES[event.key], 0), rows.children.length - 1);
    rows.children[to].focus({ preventScroll: true });
    reveal(rows, rows.children[to]);
    if (to !== model.get("chosen")) choose(to);
  });
  const drawStrip = () => {
    const data = model.get("data");
    const width = widthOf(frame);
    const x = (place) => SIDE + (place / data.n) * (width - 2 * SIDE);
    svg.replaceChildren();
    svg.setAttribute("width", width);
    svg.setAttribute("aria-label", data.alt);
    parts(svg, data, x, hatch);
    marks(svg, data, x, choose);
  };
  let shown = 0;
  const redraw = () => {
    const data = model.get("data");
    const focused = [...rows.children].indexOf(document.activeElement);
    drawStrip();
    status.textContent = data.status;
    letters(table, data);
    const scrolled = rows.scrollTop;
    list(rows, data, choose);
    rows.scrollTop = scrolled; // a list that is made anew begins at its top
    if (focused >= 0) rows.children[Math.min(focused, rows.children.length - 1)].focus({ preventScroll: true });
    if (data.chosen !== shown) reveal(rows, rows.children[data.chosen]);
    shown = data.chosen;
  };
  return follow(model, { data: redraw }, frame, drawStrip);
}

export default { render };
