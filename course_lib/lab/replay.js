// Recorded runs on a page without a kernel: three sliders choose the run, a fourth its moment (see replay.py).

const SIZE = { height: 320, left: 52, right: 158, top: 12, bottom: 44 };
const PLAY_MS = 3500; // a whole run
const PANEL = "font: 13px/1.5 sans-serif;";
const WRITING = "white-space: pre-wrap; overflow-wrap: anywhere; font: 13px/1.55 monospace; min-height: 9.5em; margin-top: 4px;";
const VAL_DOT = "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z";
const FLOOR_FOR = "floor for ";
const LOOKS = {
  curve: { stroke: "#0072B2", "stroke-width": 1.8 },
  seed: { stroke: "#56B4E9", "stroke-width": 1, "stroke-opacity": 0.75 },
  before: { stroke: INK, "stroke-width": 1.2, "stroke-opacity": 0.5 },
};

// A slider over `values`; `hear` is told where it stands.
function valueSlider(parent, name, label, values, at, hear) {
  const row = add(parent, "label", "display: flex; align-items: center; gap: 8px; margin: 4px 0;");
  add(row, "span", "min-width: 9em;", label);
  const slider = named(row, "input", `course-lab-replay-${name}`, "flex: 1; min-width: 0;");
  Object.assign(slider, { type: "range", min: 0, max: values.length - 1, step: 1, value: at });
  slider.setAttribute("aria-label", label);
  const shown = named(row, "b", "course-lab-shown", "min-width: 4em; font-variant-numeric: tabular-nums;");
  const tell = () => {
    shown.textContent = String(values[slider.value]);
    slider.setAttribute("aria-valuetext", shown.textContent);
  };
  slider.addEventListener("input", () => {
    tell();
    hear();
  });
  tell();
  return { get value() { return values[slider.value]; } };
}

const same = (run, at) => run.at.every((value, i) => value === at[i]);

// The points of a run as far as `step`: training as [step, loss], validation as [completed steps, loss].
function upTo(data, run, step) {
  const train = run.train.map((loss, i) => [data.steps[i], loss]).filter(([at, loss]) => at <= step && loss !== null);
  return { train, val: run.val.filter(([at]) => at <= step) };
}

function frameOf(svg, data, width) {
  const box = { left: SIZE.left, right: width - SIZE.right, top: SIZE.top, bottom: SIZE.height - SIZE.bottom };
  const x = (step) => box.left + (step / data.max_steps) * (box.right - box.left);
  const y = (loss) => box.bottom - (loss / data.y_max) * (box.bottom - box.top);
  for (let loss = 0; loss <= data.y_max; loss += 1) {
    make(svg, "line", { x1: box.left, x2: box.right, y1: y(loss), y2: y(loss), stroke: INK, "stroke-opacity": loss ? 0.13 : 1 });
    make(svg, "text", { x: box.left - 8, y: y(loss) + 4, "text-anchor": "end" }, String(loss));
  }
  for (let i = 0; i <= 4; i++) {
    const step = Math.round((i * data.max_steps) / 4);
    make(svg, "text", { x: x(step), y: box.bottom + 16, "text-anchor": "middle" }, String(step));
  }
  make(svg, "text", { x: (box.left + box.right) / 2, y: SIZE.height - 8, "text-anchor": "middle" }, data.x_label);
  const middle = (box.top + box.bottom) / 2;
  make(svg, "text", { x: 13, y: middle, "text-anchor": "middle", transform: `rotate(-90 13 ${middle})` }, data.y_label);
  return { box, x, y };
}

function lines(svg, marks, { box, y }) {
  let free = Infinity;
  for (const [label, value] of [...marks].sort((a, b) => a[1] - b[1])) {
    make(svg, "line", { class: "reference", x1: box.left, x2: box.right, y1: y(value), y2: y(value), stroke: INK, "stroke-dasharray": "6 4" });
    const at = Math.min(y(value) + 4, free - 28); // the words of low lines stand over one another, from below
    free = at;
    const [first, second] = label.startsWith(FLOOR_FOR) ? [FLOOR_FOR.trim(), label.slice(FLOOR_FOR.length)] : [label, ""];
    make(svg, "text", { class: "line-label", x: box.right + 8, y: at - 7 }, first);
    make(svg, "text", { class: "line-label", x: box.right + 8, y: at + 6 }, `${second} = ${value.toFixed(2)}`.trim());
  }
}

function curve(svg, points, { x, y }, look, kind) {
  const path = (row) => row.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" ");
  make(svg, "polyline", { class: kind, points: path(points.train), fill: "none", "stroke-linejoin": "round", ...look });
  if (kind !== "curve") return void make(svg, "polyline", { points: path(points.val), fill: "none", ...look, "stroke-dasharray": "2 3" });
  if (points.train.length === 1) // a line of one point cannot be seen
    make(svg, "circle", { class: "first", cx: x(points.train[0][0]), cy: y(points.train[0][1]), r: 4, fill: look.stroke, stroke: PAPER });
  for (const [a, b] of points.val)
    make(svg, "path", { class: "dot", d: VAL_DOT, fill: "#D55E00", stroke: PAPER, "stroke-width": 1, transform: `translate(${x(a)} ${y(b)})` });
}

// Who is who, at the right, between the words of the high line and those of the low ones.
function legend(svg, { before, seeds }, { box }) {
  const rows = [["training", LOOKS.curve], ["validation", null], ...(seeds.length ? [["other seeds", LOOKS.seed]] : []), ...(before ? [["the run before", LOOKS.before]] : [])];
  rows.forEach(([text, look], i) => {
    const [at, up] = [box.right + 8, box.top + 62 + 17 * i];
    if (look) make(svg, "line", { class: "legend", x1: at, x2: at + 28, y1: up - 4, y2: up - 4, ...look });
    else make(svg, "path", { d: VAL_DOT, fill: "#D55E00", transform: `translate(${at + 14} ${up - 4})` });
    make(svg, "text", { class: "legend-words", x: at + 36, y: up }, text);
  });
}

function draw(svg, data, view, width, clip) {
  svg.replaceChildren();
  svg.setAttribute("width", width);
  svg.setAttribute("height", SIZE.height);
  svg.setAttribute("aria-label", view.alt);
  const axes = frameOf(svg, data, width);
  const { box } = axes;
  make(make(svg, "clipPath", { id: clip }), "rect", { x: box.left - 5, y: box.top, width: box.right - box.left + 10, height: box.bottom - box.top });
  lines(svg, view.lines, axes);
  const inside = make(svg, "g", { "clip-path": `url(#${clip})` });
  if (view.before) curve(inside, upTo(data, view.before, Infinity), axes, LOOKS.before, "before");
  for (const run of view.seeds) curve(inside, upTo(data, run, view.step), axes, LOOKS.seed, "seed");
  curve(inside, upTo(data, view.run, view.step), axes, LOOKS.curve, "curve");
  legend(svg, view, axes);
}

const tokensOf = (data, { at }, step) => (step * data.windows * at[0]).toLocaleString("en-US");

// What a run of another block_size has that this one has not: neither its tokens nor its floor are the same.
function otherWords(data, { run, before }) {
  if (!before || before.at[0] === run.at[0]) return "";
  const floor = floorOf(data, before);
  const whose = floor ? `, and its floor is ${floor[1].toFixed(2)}` : "";
  return `The run before, of block_size ${before.at[0]}, read ${tokensOf(data, before, data.max_steps)} tokens in all its steps${whose}: step by step the two do not compare.`;
}

const floorOf = (data, { at }) => data.lines[at[0]].find(([label]) => label.startsWith("floor"));

// What the chosen run came to by now, in words.
function numbers(data, { run, seeds, step }) {
  const { train, val } = upTo(data, run, step);
  const parts = [`step ${step} of ${data.max_steps}`, `${tokensOf(data, run, step)} tokens read`];
  if (run.diverged && step >= data.steps[run.train.length - 1]) parts.push("diverged: the loss ceased to be finite");
  if (train.length) parts.push(`training ${train.at(-1)[1].toFixed(2)}`);
  if (val.length) {
    const loss = val.at(-1)[1];
    parts.push(`validation ${loss.toFixed(3)}`);
    const floor = floorOf(data, run);
    if (floor) parts.push(`${(loss - floor[1]).toFixed(3)} above the floor`);
  }
  const ends = [run, ...seeds].filter((one) => !one.diverged).map((one) => one.val.at(-1)[1]);
  if (step === data.max_steps && ends.length > 1)
    parts.push(`${Math.min(...ends).toFixed(3)} to ${Math.max(...ends).toFixed(3)} over ${ends.length} seeds`);
  return parts.join(", ");
}

const FEWEST = 5; // of fewer sentences no share is told; so it is in sample_view.py
const judgedWords = ({ good, sentences }) => (sentences < FEWEST ? "" : `: ${good} of ${sentences} sentences fit the stories' grammar`);

function writing(place, run, step) {
  const sample = run.samples.filter((one) => one.step <= step).at(-1);
  const when = sample.step ? `after ${sample.step} steps` : "before training";
  const judged = sample.sentences === null ? "" : sample.sentences ? judgedWords(sample) : ": no whole sentence yet";
  place.title.textContent = `What the model writes ${when}${judged}`;
  if (place.shown === sample) return;
  place.shown = sample;
  place.text.replaceChildren();
  const letters = Array.from(sample.text); // as Python counts them
  let end = 0;
  for (const [from, to, fits] of sample.marks) {
    place.text.append(letters.slice(end, from).join(""));
    const [sign, says, color, line] = fits ? ["✓", "fits the stories' grammar", "#009E73", "2px"] : ["✗", "does not fit it", "#D55E00", "wavy 1.2px"];
    const mark = named(place.text, "span", "sign", `display: inline-block; width: 1.3em; font-weight: bold; color: ${color};`, sign);
    mark.setAttribute("role", "img");
    mark.setAttribute("aria-label", says);
    add(place.text, "span", `text-decoration: underline ${line} ${color}; text-underline-offset: 3px;`, letters.slice(from, to).join(""));
    end = to;
  }
  place.text.append(letters.slice(end).join(""));
}

function begin(root) {
  const data = JSON.parse(root.querySelector("script").textContent);
  root.dataset.live = "yes";
  root.querySelector(".course-lab-replay-still")?.remove();
  const clip = unique("replay");
  const frame = named(root, "div", "course-lab-chart", `max-width: 900px; color: ${INK}; ${PANEL}`);
  named(frame, "div", "course-lab-replay-over", "", data.over);
  const sliders = add(frame, "div", "max-width: 560px;");
  const chosen = data.sliders.map(({ name, label, values, at }) => valueSlider(sliders, name, label, values, at, () => pick()));
  const svg = make(frame, "svg", { role: "img", style: `font: 12px sans-serif; fill: ${INK}; display: block; margin-top: 6px;` });
  const bar = add(frame, "div", "display: flex; align-items: center; gap: 10px; max-width: 660px; padding: 4px 0;");
  const play = named(bar, "button", "course-lab-play", `${BUTTON} min-width: 6em;`, "Play");
  play.type = "button";
  const { slider: moment, show } = stepSlider(bar);
  const status = named(frame, "div", "course-lab-status", "min-height: 1.5em; font-variant-numeric: tabular-nums;");
  const unequal = named(frame, "div", "course-lab-unequal", "min-height: 1.5em; font-size: 12px;");
  const title = named(frame, "div", "course-lab-heading", "margin-top: 8px; font-weight: bold;");
  const text = named(frame, "div", "course-lab-text", WRITING);
  named(frame, "div", "course-lab-replay-source", "margin-top: 6px; font-size: 12px;", data.about);

  const place = { title, text, shown: null };
  let [run, before, timer] = [null, null, null];
  const redraw = () => {
    const [at, step] = [chosen.map((slider) => slider.value), Number(moment.value)];
    const seeds = data.runs.filter((one) => one !== run && same(one, at));
    const others = before && before.at[0] !== at[0] && floorOf(data, before) ? [floorOf(data, before)] : [];
    const view = { run, before, seeds, step, lines: [...data.lines[at[0]], ...others] };
    const words = numbers(data, view);
    view.alt = `Loss against steps of a recorded run: ${data.sliders.map(({ label }, i) => `${label} ${at[i]}`).join(", ")}. ${words}.`;
    draw(svg, data, view, widthOf(frame), clip);
    status.textContent = words;
    unequal.textContent = otherWords(data, view);
    writing(place, run, step);
  };
  const pick = () => {
    const found = data.runs.find((one) => same(one, chosen.map((slider) => slider.value)));
    if (found === run) return;
    [before, run] = [run, found];
    redraw();
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  };
  const start = () => {
    play.textContent = "Pause";
    const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    const [ticks, from] = [calm ? 6 : 60, Number(moment.value) >= data.max_steps ? 0 : Number(moment.value)];
    let tick = Math.round((ticks * from) / data.max_steps);
    const go = () => {
      show(Math.round((data.max_steps * Math.min(tick, ticks)) / ticks));
      redraw();
      if (tick++ >= ticks) stop();
    };
    go();
    timer = setInterval(go, PLAY_MS / ticks);
  };
  play.addEventListener("click", () => (timer ? stop() : start()));
  moment.addEventListener("input", () => {
    stop();
    show(Number(moment.value), data.max_steps);
    redraw();
  });
  keepKeys(frame);
  show(data.max_steps, data.max_steps);
  pick();
  new ResizeObserver(redraw).observe(frame);
}

for (const root of document.querySelectorAll(".course-lab-replay:not([data-live])")) begin(root);
