// A race over a loss surface. Python sends the paths and the map (see race.py); here they are drawn and replayed.

const PAD = { left: 44, right: 10, top: 10, bottom: 36 };
const PLAY_MS = 4000; // a whole race
const STILLS = 10; // with reduced motion: so many pictures in place of a movement
const STILL_MS = 600;
const NUDGE = 0.02; // of the map's width, for an arrow key

const joined = (points, x, y) => points.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" ");

// A frame with numbers at its two axes; returns the group that is clipped to it.
function plot(svg, width, height, x, y, axes, clip) {
  const box = { x: PAD.left, y: PAD.top, width: width - PAD.left - PAD.right, height: height - PAD.top - PAD.bottom };
  make(make(svg, "clipPath", { id: clip }), "rect", box);
  const inside = make(svg, "g", { "clip-path": `url(#${clip})` });
  make(svg, "rect", { ...box, fill: "none", stroke: INK, "stroke-opacity": 0.6 });
  for (const [value, text] of axes.x)
    make(svg, "text", { x: x(value), y: height - PAD.bottom + 14, "text-anchor": "middle" }, text);
  for (const [value, text] of axes.y)
    make(svg, "text", { x: PAD.left - 5, y: y(value) + 4, "text-anchor": "end" }, text);
  make(svg, "text", { x: (PAD.left + width - PAD.right) / 2, y: height - 5, "text-anchor": "middle" }, axes.names[0]);
  const middle = (PAD.top + height - PAD.bottom) / 2;
  make(svg, "text", { x: 11, y: middle, "text-anchor": "middle", transform: `rotate(-90 11 ${middle})` }, axes.names[1]);
  return inside;
}

function whole(from, to) {
  const count = Math.floor(to) - Math.ceil(from) + 1;
  return Array.from({ length: count }, (_, i) => [Math.ceil(from) + i, String(Math.ceil(from) + i)]);
}

// The map: lines of equal loss, the lowest places, the start, and a line and a marker for each racer.
function drawMap(svg, data, width, clip) {
  const [x0, x1, y0, y1] = data.window;
  const scale = (width - PAD.left - PAD.right) / (x1 - x0);
  const height = (y1 - y0) * scale + PAD.top + PAD.bottom; // one unit is as long up as it is across
  const x = (value) => PAD.left + (value - x0) * scale;
  const y = (value) => PAD.top + (y1 - value) * scale;
  svg.replaceChildren();
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  svg.setAttribute("aria-label", data.alt);
  const inside = plot(svg, width, height, x, y, { x: whole(x0, x1), y: whole(y0, y1), names: ["weight x", "weight y"] }, clip);
  for (const line of data.contours)
    make(inside, "polyline", { class: "contour", points: joined(line, x, y), fill: "none", stroke: INK, "stroke-opacity": 0.28 });
  const movers = racers(inside, data, x, y, (racer) => racer.points);
  // On top: a racer that has arrived should not hide where.
  for (const [sign, places] of [["★", data.lowest], ["☆", data.others]])
    for (const [a, b] of places)
      make(inside, "text", {
        class: "bottom", x: x(a), y: y(b) + 6, "text-anchor": "middle", "font-size": 17,
        stroke: PAPER, "stroke-width": 3, "paint-order": "stroke",
      }, sign);
  const [a, b] = data.start;
  make(inside, "circle", { class: "start", cx: x(a), cy: y(b), r: 5, fill: PAPER, stroke: INK, "stroke-width": 2 });
  const atRight = x(a) > width - 60;
  make(inside, "text", {
    x: x(a) + (atRight ? -9 : 9), y: y(b) - 6, "text-anchor": atRight ? "end" : "start",
    stroke: PAPER, "stroke-width": 3, "paint-order": "stroke",
  }, "start");
  return { movers, place: (px, py) => [x0 + (px - PAD.left) / scale, y1 - (py - PAD.top) / scale] };
}

// The loss of each racer against the step, on a logarithmic axis.
function drawLosses(svg, data, width, height, clip) {
  const top = Math.log10(Math.max(1, 10 * Math.max(...data.racers.map((racer) => racer.heights[0]))));
  const low = -8;
  const x = (step) => PAD.left + (step / data.steps) * (width - PAD.left - PAD.right);
  const y = (loss) => PAD.top + ((top - Math.log10(loss)) / (top - low)) * (height - PAD.top - PAD.bottom);
  svg.replaceChildren();
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  const powers = [];
  for (let power = low; power <= top; power += 2) powers.push([10 ** power, power === 0 ? "1" : `1e${power}`]);
  const steps = [0, data.steps / 2, data.steps].filter(Number.isInteger).map((step) => [step, String(step)]);
  const inside = plot(svg, width, height, x, y, { x: steps, y: powers, names: ["step", "loss above the lowest"] }, clip);
  for (const [power] of powers)
    make(inside, "line", { x1: PAD.left, x2: width, y1: y(power), y2: y(power), stroke: INK, "stroke-opacity": 0.15 });
  return racers(inside, data, x, y, (racer) => racer.heights.map((loss, step) => [step, loss]));
}

// For each racer a line and a marker that can be shown as far as a step.
function racers(inside, data, x, y, pointsOf) {
  return data.racers.map((racer) => {
    const points = pointsOf(racer);
    const line = make(inside, "polyline", {
      class: "path", fill: "none", stroke: racer.color, "stroke-width": 2, "stroke-dasharray": racer.dash, "stroke-linejoin": "round",
    });
    const marker = make(inside, "path", { class: "marker", d: racer.marker, fill: racer.color, stroke: PAPER, "stroke-width": 0.8 });
    return (step) => {
      const shown = points.slice(0, step + 1);
      const [a, b] = shown.at(-1);
      line.setAttribute("points", joined(shown, x, y));
      marker.setAttribute("transform", `translate(${x(a).toFixed(1)} ${y(b).toFixed(1)})`);
    };
  });
}

const GUESS = "Guess first: who will be first at the star, and who will not get there? Then press Play.";

// Who is who and, once it may be known, what became of each.
function list(place, data, isKnown) {
  place.replaceChildren();
  for (const racer of data.racers) {
    const row = add(place, "div", "display: flex; align-items: center; gap: 8px; line-height: 1.7;");
    row.className = "course-lab-racer";
    swatch(row, racer);
    add(row, "b", "min-width: 6.5em;", racer.name);
    add(row, "span", "", isKnown ? racer.words : "?");
  }
}

function render({ model, el }) {
  const clip = unique("race");
  const frame = named(el, "div", "course-lab-chart course-lab-race-map", `width: 100%; max-width: 900px; color: ${INK}; font: 13px/1.5 sans-serif;`);
  const pictures = add(frame, "div", "display: flex; flex-wrap: wrap; gap: 8px;");
  const pad = named(pictures, "div", "course-lab-pad", "cursor: crosshair;");
  pad.tabIndex = 0;
  pad.setAttribute("role", "group");
  pad.setAttribute("aria-label", "Map: click, or press an arrow key, to move the start");
  const map = make(pad, "svg", PICTURE);
  const losses = make(pictures, "svg", { ...PICTURE, "aria-label": "The loss of each optimizer against the step" });
  const bar = add(frame, "div", "display: flex; align-items: center; gap: 10px; padding: 6px 8px;");
  const play = named(bar, "button", "course-lab-play", `${BUTTON} min-width: 6em;`, "Play");
  const { slider: scrubber, show: showStep } = stepSlider(bar);
  const rows = named(frame, "div", "course-lab-racers", "padding: 2px 8px;");
  const status = named(frame, "div", "course-lab-status", "padding: 4px 8px 8px; font-weight: bold;");
  status.setAttribute("role", "status");

  let movers = [];
  let place = null;
  let cancel = null; // what ends the replay at hand
  let known = null; // the race that the scrubber stands for
  let isKnown = false; // how the first race ends: it is asked before it is told
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

  const tell = () => {
    const data = model.get("data");
    list(rows, data, isKnown);
    status.textContent = isKnown ? data.first : GUESS;
    map.setAttribute("aria-label", isKnown ? data.alt : GUESS);
  };
  const show = (step) => {
    showStep(step);
    for (const move of movers) move(step);
    if (isKnown || step < Number(scrubber.max)) return;
    isKnown = true;
    tell();
  };
  const stop = () => {
    if (cancel) cancel();
    cancel = null;
    play.textContent = "Play";
  };
  const start = () => {
    const steps = Number(scrubber.max);
    const from = Number(scrubber.value) >= steps ? 0 : Number(scrubber.value);
    play.textContent = "Pause";
    if (calm.matches) {
      const jump = (step) => {
        show(Math.min(step, steps));
        if (step >= steps) return stop();
        const timer = setTimeout(() => jump(step + Math.ceil(steps / STILLS)), STILL_MS);
        cancel = () => clearTimeout(timer);
      };
      return jump(from);
    }
    const begun = performance.now() - (from / steps) * PLAY_MS;
    const glide = (now) => {
      const step = Math.min(steps, Math.max(0, Math.floor(((now - begun) / PLAY_MS) * steps)));
      show(step);
      if (step >= steps) return stop();
      const next = requestAnimationFrame(glide);
      cancel = () => cancelAnimationFrame(next);
    };
    glide(performance.now());
  };
  const draw = () => {
    const data = model.get("data");
    const width = widthOf(frame, 900);
    const wide = width >= 700;
    const drawn = drawMap(map, data, wide ? Math.round(0.6 * width) : width, `${clip}-map`);
    const height = Number(map.getAttribute("height"));
    const lossWidth = wide ? width - Math.round(0.6 * width) - 10 : width;
    movers = [...drawn.movers, ...drawLosses(losses, data, lossWidth, wide ? height : 240, `${clip}-loss`)];
    place = drawn.place;
    if (known !== data) {
      stop();
      isKnown ||= known !== null; // who has moved a slider is past the first guess
      known = data;
      showStep(isKnown ? data.steps : 0, data.steps);
    }
    tell();
    show(Number(scrubber.value));
  };
  const moveStart = (x, y) => {
    const [x0, x1, y0, y1] = model.get("data").window;
    const within = (value, low, high) => Math.min(high, Math.max(low, Number(value.toFixed(4))));
    model.set("start", [within(x, x0, x1), within(y, y0, y1)]);
    model.save_changes();
  };

  play.addEventListener("click", () => (cancel ? stop() : start()));
  scrubber.addEventListener("input", () => {
    stop();
    show(Number(scrubber.value));
  });
  pad.addEventListener("click", (event) => {
    const box = map.getBoundingClientRect();
    moveStart(...place(event.clientX - box.left, event.clientY - box.top));
  });
  keepKeys(frame);
  frame.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!step || event.target !== pad) return;
    event.preventDefault();
    const [x0, x1] = model.get("data").window;
    const [x, y] = model.get("start");
    moveStart(x + step[0] * NUDGE * (x1 - x0), y + step[1] * NUDGE * (x1 - x0));
  });
  const leave = follow(model, { data: draw }, frame, draw);
  return () => {
    stop();
    leave();
  };
}

export default { render };
