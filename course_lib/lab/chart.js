// The live loss chart. Python sends what is to be seen (see chart.py); here its rooms become a picture.

const PLOT = 280; // the height of the loss, in pixels
const MARGIN = { left: 58, top: 10, bottom: 40, between: 22 };
const GUTTER = 154; // at the right, for what the reference lines mean

// The places of all parts for a width, and what turns numbers into pixels.
function measured(data, curves, view, width) {
  const gutter = width < NARROW ? 0 : GUTTER;
  const box = { left: MARGIN.left, right: width - (gutter || 22), top: MARGIN.top, bottom: MARGIN.top + PLOT, gutter };
  box.notes = box.top + (gutter ? 14 : 38); // in a narrow chart the words of the highest line stand inside, at the top
  const tops = [box.bottom + MARGIN.between, ...(view.norm ? [box.bottom + 2 * MARGIN.between + TRACK] : [])];
  const base = tops.at(-1) + TRACK;
  const end = endOfX(data, curves, view);
  const [low, high] = endsOfY(data, curves, view);
  const isLog = view.log && low > 0;
  const share = isLog ? (loss) => Math.log(loss / low) / Math.log(high / low) : (loss) => (loss - low) / (high - low);
  const loss = isLog ? (part) => low * (high / low) ** part : (part) => low + part * (high - low);
  const y = (value) => box.bottom - (isLog && value <= 0 ? -1 : share(value)) * PLOT;
  return {
    box, tops, base, end, ends: [low, high], y, width, height: base + MARGIN.bottom,
    x: (place) => box.left + (place / end) * (box.right - box.left),
    place: (at) => ((at - box.left) / (box.right - box.left)) * end,
    scale: { at: y, value: (at) => loss((box.bottom - at) / PLOT), top: box.top, bottom: box.bottom, left: box.left },
    tracks: trackScales(data, curves, tops),
  };
}

// An empty sheet with what is clipped to the loss, and to loss and tracks.
function sheet(svg, plan, clip) {
  const { box } = plan;
  svg.replaceChildren();
  svg.setAttribute("width", plan.width);
  svg.setAttribute("height", plan.height);
  const frame = { x: box.left - 6, y: box.top, width: box.right - box.left + 12, height: PLOT };
  make(make(svg, "clipPath", { id: clip }), "rect", frame);
  make(make(svg, "clipPath", { id: `${clip}-all` }), "rect", { ...frame, height: plan.base - box.top + 2 });
  return [clip, `${clip}-all`].map((id) => make(svg, "g", { "clip-path": `url(#${id})` }));
}

// What stays while a curve grows: the axes, the lines, the runs that are over. It is drawn again only when it changes.
function drawStill(svg, data, curves, view, plan, clip, shown) {
  const { box, x, y } = plan;
  const [inside, within] = sheet(svg, plan, clip);
  lossAxis(svg, view, plan.ends, y, box);
  xAxis(svg, view, plan.end, x, box, plan.base);
  make(svg, "line", { x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom, stroke: INK, "stroke-opacity": 0.4 });
  for (const { value } of data.lines)
    make(inside, "line", { class: "reference", x1: box.left, x2: box.right, y1: y(value), y2: y(value), stroke: INK, "stroke-dasharray": "6 4" });
  const finished = data.curve ? curves.slice(0, -1) : curves;
  for (const curve of finished) {
    drawCurve(inside, curve, false, view, x, y);
    trackLines(within, curve, view, plan, false);
    offAxis(svg, curve, view, x, plan.ends, box);
  }
  lineLabels(svg, data.lines, y, box);
  if (data.curve) return;
  const sampled = curves.findLast(({ samples }) => samples.length);
  if (sampled) sampleTicks(within, sampled, view, x, box, shown);
  const rows = Array.from({ length: NOTE_ROWS }, () => []);
  for (const curve of curves) notes(svg, curve, view, x, box, rows);
  const guessed = curves.findLast(({ guess }) => guess != null);
  if (guessed) guessLine(inside, guessed, x, y, view, box, true);
}

// What changes with every step, over it. Returns the layer of the moment that is pointed at.
function drawMoving(svg, data, curves, view, plan, clip, shown, guess) {
  const { box, x, y } = plan;
  const [inside, within] = sheet(svg, plan, clip);
  if (data.curve) {
    const current = curves.at(-1);
    drawCurve(inside, current, true, view, x, y);
    trackLines(within, current, view, plan, true);
    sampleTicks(within, current, view, x, box, shown);
    offAxis(svg, current, view, x, plan.ends, box);
    notes(svg, current, view, x, box, Array.from({ length: NOTE_ROWS }, () => []));
    guessLine(inside, current, x, y, view, box, false);
  } else if (guess !== null && guess !== curves.findLast(({ guess: told }) => told != null)?.guess) nextGuess(inside, guess, y, box);
  trackFrames(svg, within, data, curves, view, plan);
  return make(within, "g", {});
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
  const viewNow = () => ({ unit: data().unit, x: "steps", log: false, smooth: 0, norm: false, fit: false, ...model.get("view"), narrow: drawnWidth < 420 });
  const choose = (name, value) => {
    if (name === "x") pointer.place = null; // a place among steps is none among seconds
    model.set("view", { ...model.get("view"), [name]: value });
    keep();
  };
  const showView = toolbar(frame, model.get("data").unit, choose, { png: () => savePng([still, growing], curves, viewNow()), csv: () => saveAs("loss.csv", new Blob([asCsv(curves)], { type: "text/csv" })) });
  const layer = add(frame, "div", "position: relative;");
  const look = `font: 12px sans-serif; fill: ${INK}; display: block;`;
  const still = make(layer, "svg", { role: "img", style: look });
  // A layer of its own: the browser does not paint what is under it anew.
  const growing = make(layer, "svg", { "aria-hidden": "true", style: `${look} position: absolute; top: 0; left: 0; will-change: transform;` });
  const pointer = momentSlider(layer);
  const status = named(frame, "div", "course-lab-status", "font: 13px/1.5 sans-serif; min-height: 3em; padding-left: 2px; font-variant-numeric: tabular-nums;");
  // The state is read out when it changes; the numbers, which always do, are not.
  const state = add(status, "b");
  state.setAttribute("role", "status");
  const numbers = add(status, "span");
  const table = numbersTable(add(frame, "div", "padding-left: 2px; min-height: 4.6em;"));
  const unequal = named(frame, "div", "course-lab-unequal", "font: 12px/1.4 sans-serif; padding: 2px;");
  const guess = guessing(frame, layer, model.get("guessing"), (value) => {
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
  const prepared = (curve, view, isGhost) => {
    measureTracks(curve);
    return Object.assign(curve, { means: smoothed(curve.rows, view.smooth), isGhost });
  };
  let over = { finished: null, key: "", curves: [] }; // the runs that are over, and how they were drawn last
  const redraw = () => {
    drawnWidth = Math.max(240, frame.clientWidth || 760);
    const view = viewNow();
    const now = data();
    const finished = model.get("finished");
    const isOther = finished !== over.finished || view.smooth !== over.smooth;
    if (isOther) over = { finished, smooth: view.smooth, key: "", curves: finished.map((curve) => prepared({ ...curve }, view, false)) };
    for (const curve of over.curves) curve.isGhost = now.curve !== null;
    const rows = [...model.get("past"), ...model.get("tail")];
    curves = now.curve ? [...over.curves, prepared({ ...now.curve, rows }, view, false)] : over.curves;
    plan = measured(now, curves, view, drawnWidth);
    const key = JSON.stringify([view, plan.width, plan.end, plan.ends, plan.tracks, now.lines, now.curve !== null, now.curve ? null : shownSample]);
    if (key !== over.key) drawStill(still, now, curves, view, plan, clip, shownSample);
    over.key = key;
    still.setAttribute("aria-label", now.alt);
    moving = drawMoving(growing, now, curves, view, plan, `${clip}-growing`, shownSample, now.curve ? null : model.get("guess"));
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
    // Behind its end a run has no moment: its newest sample stays.
    const row = sampled && pointer.place !== null ? numbersAt(sampled, pointer.place, viewNow())?.row : null;
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
