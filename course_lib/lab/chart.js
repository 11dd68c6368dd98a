// The live loss chart. Python sends what is to be seen (see chart.py); here its rooms become a picture.

const PLOT = 280; // the height of the loss, in pixels
const MARGIN = { left: 58, top: 10, bottom: 40, between: 12 };
const GUTTER = 154; // at the right, for what the reference lines mean

// The places of all parts for a width, and what turns numbers into pixels.
function measured(data, curves, view, width) {
  const gutter = width < NARROW ? 0 : GUTTER;
  const box = { left: MARGIN.left, right: width - (gutter || 22), top: MARGIN.top, bottom: MARGIN.top + PLOT, gutter };
  const tracks = [box.bottom + MARGIN.between, ...(view.norm ? [box.bottom + 2 * MARGIN.between + TRACK] : [])];
  const base = tracks.at(-1) + TRACK;
  const end = endOfX(data, curves, view);
  const [low, high] = endsOfY(data, curves, view);
  const x = (place) => box.left + (place / end) * (box.right - box.left);
  const share = view.log && low > 0 ? (loss) => Math.log(loss / low) / Math.log(high / low) : (loss) => (loss - low) / (high - low);
  const loss = view.log && low > 0 ? (part) => low * (high / low) ** part : (part) => low + part * (high - low);
  const y = (value) => box.bottom - (view.log && value <= 0 ? -1 : share(value)) * PLOT;
  const scale = { at: y, value: (at) => loss((box.bottom - at) / PLOT), top: box.top, bottom: box.bottom, left: box.left };
  return { box, tracks, base, end, ends: [low, high], x, y, scale, place: (at) => ((at - box.left) / (box.right - box.left)) * end, height: base + MARGIN.bottom };
}

function draw(svg, data, curves, view, plan, clip, shownSample, guess) {
  const { box, x, y } = plan;
  svg.replaceChildren();
  svg.setAttribute("height", plan.height);
  svg.setAttribute("aria-label", data.alt);
  const frame = { x: box.left - 6, y: box.top, width: box.right - box.left + 12, height: PLOT };
  make(make(svg, "clipPath", { id: clip }), "rect", frame);
  make(make(svg, "clipPath", { id: `${clip}-all` }), "rect", { ...frame, height: plan.base - box.top + 2 });
  lossAxis(svg, view, plan.ends, y, box);
  xAxis(svg, view.x, plan.end, x, box, plan.base);
  make(svg, "line", { x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom, stroke: INK, "stroke-opacity": 0.4 });
  const inside = make(svg, "g", { "clip-path": `url(#${clip})` });
  for (const { value } of data.lines)
    make(inside, "line", { class: "reference", x1: box.left, x2: box.right, y1: y(value), y2: y(value), stroke: INK, "stroke-dasharray": "6 4" });
  const current = data.curve ? curves.at(-1) : null;
  for (const curve of curves) drawCurve(inside, curve, curve === current, current !== null && curve !== current, view, x, y);
  const sampled = current ?? curves.findLast(({ samples }) => samples.length);
  if (sampled) sampleTicks(inside, sampled, view, x, y, shownSample);
  lineLabels(svg, data.lines, y, box);
  const rows = Array.from({ length: NOTE_ROWS }, () => []);
  for (const curve of current ? [current] : curves) notes(svg, curve, view, x, box, rows);
  const guessed = current ?? curves.findLast(({ guess }) => guess != null);
  if (guess !== (guessed?.guess ?? null)) nextGuess(inside, guess, y, box);
  if (guessed) guessLine(inside, guessed, x, y, view, box, guessed !== current);
  const [within, moving] = [0, 1].map(() => make(svg, "g", { "clip-path": `url(#${clip}-all)` }));
  rateTrack(svg, within, data, curves, view, x, box, plan.tracks[0]);
  if (view.norm) normTrack(svg, within, data, curves, view, x, box, plan.tracks[1]);
  return moving;
}

// The line through the moment that is pointed at, and a dot on each curve.
function crosshair(layer, curves, place, view, plan) {
  layer.replaceChildren();
  if (place === null) return;
  const at = plan.x(place);
  make(layer, "line", { class: "crosshair", x1: at, x2: at, y1: plan.box.top, y2: plan.base, stroke: INK, "stroke-width": 1 });
  for (const curve of curves) {
    const numbers = numbersAt(curve, place, view);
    if (numbers?.train != null) make(layer, "circle", { cx: plan.x(BEFORE[view.x](numbers.row)), cy: pixel(plan.y(numbers.train)), r: 4, fill: curve.color, stroke: PAPER, "stroke-width": 1.5 });
  }
}

function render({ model, el }) {
  const clip = unique("clip"); // two charts of one name would cut each other off
  const frame = named(el, "div", "course-lab-chart", `width: 100%; color: ${INK}; box-sizing: border-box;`);
  let isLost = false;
  const keep = () => isLost || model.save_changes();
  const viewNow = () => ({ x: "steps", log: false, smooth: 0, norm: false, fit: false, ...model.get("view"), narrow: drawnWidth < 420 });
  const choose = (name, value) => {
    if (name === "x") pointer.place = null; // a place among steps is none among seconds
    model.set("view", { ...model.get("view"), [name]: value });
    keep();
  };
  const showView = toolbar(frame, choose, { png: () => savePng(svg, curves, viewNow()), csv: () => saveAs("loss.csv", new Blob([asCsv(curves)], { type: "text/csv" })) });
  const layer = add(frame, "div", "position: relative;");
  const svg = make(layer, "svg", { role: "img", style: `font: 12px sans-serif; fill: ${INK}; display: block;` });
  const pointer = momentSlider(layer);
  const status = named(frame, "div", "course-lab-status", "font: 13px/1.5 sans-serif; min-height: 3em; padding-left: 2px; font-variant-numeric: tabular-nums;");
  // The state is read out when it changes; the numbers, which always do, are not.
  const state = add(status, "b");
  state.setAttribute("role", "status");
  const numbers = add(status, "span");
  const table = numbersTable(add(frame, "div", "padding-left: 2px; min-height: 4.6em;"));
  const unequal = named(frame, "div", "course-lab-unequal", "font: 12px/1.4 sans-serif; padding: 2px;");
  const guess = guessing(frame, layer, (value) => {
    model.set("guess", value);
    keep();
  });

  let curves = [];
  let plan = null;
  let moving = null;
  let drawnWidth = 0;
  let shownSample = null;
  const data = () => model.get("data");
  const point = () => {
    const place = pointer.place;
    crosshair(moving, curves, place, viewNow(), plan);
    const words = table.show(curves, place, viewNow());
    pointer.show(plan, curves, viewNow(), words);
  };
  const redraw = () => {
    drawnWidth = Math.max(240, frame.clientWidth || 760);
    const view = viewNow();
    const now = data();
    svg.setAttribute("width", drawnWidth);
    curves = model.get("finished").map((curve) => ({ ...curve }));
    if (now.curve) curves.push({ ...now.curve, rows: [...model.get("past"), ...model.get("tail")] });
    for (const curve of curves) curve.means = smoothed(curve.rows, view.smooth);
    plan = measured(now, curves, view, drawnWidth);
    moving = draw(svg, now, curves, view, plan, clip, shownSample, now.curve ? null : model.get("guess"));
    showView(view);
    guess.show(model.get("guess"), plan.scale, !now.curve && !isLost);
    unequal.textContent = unequalWords(curves, view);
    if (state.textContent !== now.state && !isLost) state.textContent = now.state;
    numbers.textContent = isLost ? `: it stood at ${now.status.split(",")[0] || "no step"}` : `${now.state && now.status ? ": " : ""}${now.status}`;
    point();
  };
  pointer.heard = () => {
    point();
    const sampled = data().curve ? curves.at(-1) : curves.findLast(({ samples }) => samples.length);
    const row = sampled && pointer.place !== null ? rowAt(sampled.rows, pointer.place, BEFORE[viewNow().x]) : null;
    tellMoment(data().key, row ? row[STEP] : null);
  };
  const hearSample = ({ detail }) => {
    if (detail.key !== data().key || detail.step === shownSample) return;
    shownSample = detail.step;
    redraw();
  };
  document.addEventListener(SAMPLE_SHOWN, hearSample);
  const endWatch = watchKernel(model, data().key, () => {
    isLost = true;
    state.textContent = "not connected";
    announceLoss(frame);
    redraw();
  });
  const resized = () => Math.abs(frame.clientWidth - drawnWidth) > 1 && redraw();
  const leave = follow(model, { "": redraw }, frame, resized); // once for all that came in one message
  return () => {
    endWatch();
    document.removeEventListener(SAMPLE_SHOWN, hearSample);
    leave();
  };
}

export default { render };
