// Thin tracks under the loss: the learning rate in force with what its schedule has ahead, and the gradient's norm.

const TRACK = 46;

// A track's frame: its name at the left, its highest value, and what stands at its right.
function trackFrame(svg, name, most, words, box, top) {
  const bottom = top + TRACK;
  make(svg, "line", { x1: box.left, x2: box.right, y1: bottom, y2: bottom, stroke: INK, "stroke-opacity": 0.4 });
  make(svg, "line", { x1: box.left, x2: box.right, y1: top, y2: top, stroke: INK, "stroke-opacity": 0.13 });
  make(svg, "text", { x: box.left - 8, y: top + 8, "text-anchor": "end" }, rateText(most));
  make(svg, "text", { x: box.left - 8, y: bottom + 3, "text-anchor": "end" }, "0");
  const lines = box.gutter ? [name, words] : [`${name} ${words}`];
  const place = box.gutter ? { x: box.right + 20 } : { x: box.right - 2, "text-anchor": "end", ...HALO };
  lines.forEach((text, i) => make(svg, "text", { class: i || !box.gutter ? "track-value" : "track-name", ...place, y: box.gutter ? top + 20 + 15 * i : top + 13 }, text));
}

const joinedPairs = (points, x, y) => points.map(([a, b]) => `${pixel(x(a))},${pixel(y(b))}`).join(" ");

function plannedWords(rates) {
  const most = Math.max(...rates);
  return `${Math.min(...rates) === most ? "" : "peak "}${rateText(most)}, planned`;
}

function rateTrack(svg, within, data, curves, view, x, box, top) {
  const current = data.curve ? curves.at(-1) : null;
  const ahead = current ? current.plan : view.x === "steps" ? data.plan : [];
  const most = Math.max(...ahead.map(([, lr]) => lr), ...curves.flatMap(({ rows }) => rows.map((row) => row[LR]))) || 1;
  const y = (lr) => top + TRACK * (1 - lr / most);
  const last = (current ?? curves.at(-1))?.rows.at(-1);
  const inForce = current && last ? rateText(last[LR]) : ahead.length ? plannedWords(ahead.map(([, lr]) => lr)) : last ? `last ${rateText(last[LR])}` : "–";
  trackFrame(svg, "learning rate", Number.isFinite(most) ? most : 0, inForce, box, top);
  for (const curve of curves)
    make(within, "polyline", {
      class: "rate", points: joinedPairs(curve.rows.map((row) => [BEFORE[view.x](row), row[LR]]), x, y), fill: "none", stroke: curve.color,
      "stroke-width": curve === current ? 1.8 : 1.2, "stroke-dasharray": curve.dash, opacity: current && curve !== current ? 0.5 : 1,
    });
  const placed = ahead.map(([step, lr]) => [current && current.rows.length ? placeOf(current, step, view.x) : view.x === "steps" ? step : null, lr]);
  make(within, "polyline", {
    class: "rate-planned", points: joinedPairs(placed.filter(([at]) => at !== null), x, y), fill: "none", stroke: INK, "stroke-opacity": 0.75, "stroke-dasharray": "3 3",
  });
}

function normTrack(svg, within, data, curves, view, x, box, top) {
  const norms = curves.flatMap(({ rows }) => rows.map((row) => row[NORM])).filter((norm) => norm != null).sort((a, b) => a - b);
  const clip = (curves.at(-1)?.grad_clip ?? 0) || null;
  // One leap would press all others to the ground: what is above the highest one in fifty leaves the track.
  const most = Math.max(1.1 * (norms[Math.floor(0.98 * (norms.length - 1))] ?? 1), 1e-9);
  const y = (norm) => top + TRACK * (1 - Math.min(norm / most, 1.04));
  const last = curves.at(-1)?.rows.findLast((row) => row[NORM] != null);
  trackFrame(svg, "gradient norm", most, last ? rateText(last[NORM]) : "not read", box, top);
  if (clip && clip < most)
    make(svg, "line", { class: "clip-line", x1: box.left, x2: box.right, y1: y(clip), y2: y(clip), stroke: INK, "stroke-dasharray": "6 4", "stroke-opacity": 0.8 });
  if (clip && box.gutter)
    make(svg, "text", { x: box.right + 20, y: top + TRACK, "font-size": 11 }, `clipped above ${written(clip)}`);
  for (const curve of curves) {
    const rows = curve.rows.filter((row) => row[NORM] != null);
    make(within, "polyline", {
      class: "norm", points: joinedPairs(rows.map((row) => [BEFORE[view.x](row), row[NORM]]), x, y), fill: "none", stroke: curve.color,
      "stroke-width": 1, opacity: data.curve && curve !== curves.at(-1) ? 0.5 : 1,
    });
  }
}
