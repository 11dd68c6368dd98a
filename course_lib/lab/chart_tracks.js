// Thin tracks under the loss: the learning rate in force with what its schedule has ahead, and the gradient's norm.

const TRACK = 46;

// A track's frame: its name at the left, its highest value, and what stands at its right.
function trackFrame(svg, name, most, words, box, top) {
  const bottom = top + TRACK;
  make(svg, "line", { x1: box.left, x2: box.right, y1: bottom, y2: bottom, stroke: INK, "stroke-opacity": 0.4 });
  make(svg, "line", { x1: box.left, x2: box.right, y1: top, y2: top, stroke: INK, "stroke-opacity": 0.13 });
  make(svg, "text", { x: box.left - 8, y: top + 8, "text-anchor": "end" }, narrowRate(most));
  make(svg, "text", { x: box.left - 8, y: bottom + 3, "text-anchor": "end" }, "0");
  const lines = box.gutter ? [name, words] : [`${name} ${words}`];
  const place = box.gutter ? { x: box.right + 20 } : { x: box.right - 2, "text-anchor": "end", ...HALO };
  lines.forEach((text, i) => make(svg, "text", { class: i || !box.gutter ? "track-value" : "track-name", ...place, y: box.gutter ? top + 20 + 15 * i : top + 13 }, text));
}

const joinedPairs = (points, x, y) => points.map(([a, b]) => `${pixel(x(a))},${pixel(y(b))}`).join(" ");

// What the schedule has ahead, in words; beside runs that are over, whose plan it is.
function plannedWords(rates, isBesideRuns) {
  const most = Math.max(...rates);
  const rate = `${Math.min(...rates) === most ? "" : "peak "}${rateText(most)}`;
  return isBesideRuns ? `next run: ${rate}` : `${rate}, planned`;
}

// A run's own highest rate, and the norm that one in fifty of its steps exceeds: one leap would press all others down.
function measureTracks(curve) {
  const norms = curve.rows.map((row) => row[NORM]).filter((norm) => norm != null).sort((a, b) => a - b);
  curve.most_rate = curve.rows.reduce((most, row) => Math.max(most, row[LR] ?? 0), 0);
  curve.most_norm = norms[Math.floor(0.98 * (norms.length - 1))] ?? 0;
}

// The scales of the tracks, which all runs share.
function trackScales(data, curves, tops) {
  const ahead = (data.curve?.plan ?? data.plan).map(([, lr]) => lr);
  const most = Math.max(0, ...ahead, ...curves.map((curve) => curve.most_rate)) || 1;
  const norm = 1.1 * Math.max(0, ...curves.map((curve) => curve.most_norm)) || 1;
  return {
    most, norm,
    rateY: (lr) => tops[0] + TRACK * (1 - lr / most),
    normY: (value) => tops[1] + TRACK * (1 - Math.min(value / norm, 1.04)),
  };
}

// A run in the tracks.
function trackLines(within, curve, view, plan, isCurrent) {
  const { x, tracks: scales } = plan;
  const look = { fill: "none", stroke: curve.color, opacity: curve.isGhost ? 0.5 : 1 };
  make(within, "polyline", {
    ...look, class: "rate", points: joinedPairs(curve.rows.map((row) => [BEFORE[view.x](row), row[LR]]), x, scales.rateY),
    "stroke-width": isCurrent ? 1.8 : 1.2, "stroke-dasharray": curve.dash,
  });
  if (!view.norm) return;
  const rows = curve.rows.filter((row) => row[NORM] != null);
  make(within, "polyline", { ...look, class: "norm", points: joinedPairs(rows.map((row) => [BEFORE[view.x](row), row[NORM]]), x, scales.normY), "stroke-width": 1 });
  for (const row of farApart(rows.filter((row) => row[NORM] > scales.norm), (row) => x(BEFORE[view.x](row)))) {
    const mark = make(within, "path", { class: "norm-off", d: "M-4 6h8l-4 -6z", fill: curve.color, transform: `translate(${pixel(x(BEFORE[view.x](row)))} ${plan.tops[1]})` });
    make(mark, "title", {}, `above the track: ${rateText(row[NORM])}`);
  }
}

// Of things at places along the axis, as many as do not cover one another.
function farApart(rows, placed) {
  let taken = -Infinity;
  return rows.filter((row) => {
    const isFree = placed(row) - taken > 7;
    if (isFree) taken = placed(row);
    return isFree;
  });
}

// The frames of the tracks, the numbers in force, and what the schedule has ahead.
function trackFrames(svg, within, data, curves, view, plan) {
  const { x, box, tops, tracks: scales } = plan;
  const current = data.curve ? curves.at(-1) : null;
  const last = curves.at(-1)?.rows.at(-1);
  const ahead = current ? current.plan : view.x === "steps" ? data.plan : [];
  const inForce = current && last ? rateText(last[LR]) : ahead.length ? plannedWords(ahead.map(([, lr]) => lr), curves.length > 0) : last ? `last ${rateText(last[LR])}` : "–";
  trackFrame(svg, "learning rate", scales.most, inForce, box, tops[0]);
  const placed = ahead.map(([step, lr]) => [view.x === "steps" ? step : current.rows.length ? placeOf(current, step, view.x) : null, lr]);
  make(within, "polyline", {
    class: "rate-planned", points: joinedPairs(placed.filter(([at]) => at !== null), x, scales.rateY), fill: "none", stroke: INK, "stroke-opacity": 0.75, "stroke-dasharray": "3 3",
  });
  if (!view.norm) return;
  const read = curves.at(-1)?.rows.findLast((row) => row[NORM] != null);
  const clip = curves.at(-1)?.grad_clip;
  trackFrame(svg, "gradient norm", scales.norm, read ? rateText(read[NORM]) : "not read", box, tops[1]);
  if (clip && clip < scales.norm)
    make(within, "line", { class: "clip-line", x1: box.left, x2: box.right, y1: scales.normY(clip), y2: scales.normY(clip), stroke: INK, "stroke-dasharray": "6 4", "stroke-opacity": 0.8 });
  if (clip && box.gutter) make(svg, "text", { x: box.right + 20, y: tops[1] + TRACK, "font-size": 11 }, `clipped above ${written(clip)}`);
}
