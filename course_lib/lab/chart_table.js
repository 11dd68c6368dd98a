// The numbers under a chart, a row for each run: those of the moment that is pointed at, or else the newest.

const CELL = "padding: 1px 0.7em 1px 0; text-align: right; font-weight: normal; border: 0; white-space: nowrap; background: none;";
const DRAWN_AS = { training: " (line)", validation: " (marks)" };
const GAP_MEANS = "validation loss − mean training loss of the 10 steps before it and the 10 after it; with dropout it may be below zero, as dropout acts in training only";

// What a run's row says at a place on the axis; null is the newest.
function numbersAt(curve, place, view) {
  const last = curve.rows.at(-1);
  if (!last) return null;
  const unit = view.x;
  const isInside = place === null || place <= AFTER[unit](last) + 1e-9;
  if (!isInside) return null;
  const row = place === null ? last : rowAt(curve.rows, place, BEFORE[unit]);
  const found = validated(curve.rows, place === null ? Infinity : place, AFTER[unit]);
  return { row, train: curve.means[curve.rows.indexOf(row)], val: found?.row[VAL], val_step: found ? found.row[STEP] + 1 : null, gap: found?.gap };
}

function columns(view) {
  const training = view.narrow ? `train${view.smooth ? ` ⌀${view.smooth}` : ""}` : `training${view.smooth ? `, mean of ${view.smooth}` : ""}`;
  const list = [
    [training, (n) => lossText(n.train)],
    [view.narrow ? "val" : "validation", (n) => (n.val == null ? "–" : lossText(n.val)), "the last evaluation until then"],
    ["at step", (n) => (n.val_step === null ? "–" : String(n.val_step)), "the steps behind that evaluation"],
    ["gap", (n) => (n.gap == null ? "–" : `${n.gap < 0 ? "−" : "+"}${lossText(Math.abs(n.gap))}`), GAP_MEANS],
    ["rate", (n) => rateText(n.row[LR]), "the learning rate in force"],
  ];
  if (view.narrow) list.splice(2, 1);
  return view.norm ? [...list, ["norm", (n) => rateText(n.row[NORM]), "the gradient's norm before clipping"]] : list;
}

// Runs may read other numbers of tokens, in other times: of several, the words say whose these are.
function momentWords(curves, place, view) {
  if (!curves.at(-1)?.rows.length) return "No step taken yet";
  const curve = curves.findLast((one) => numbersAt(one, place, view));
  if (!curve) return "No run came so far";
  const of = curves.length > 1 && curve.label ? ` of ${curve.label}` : "";
  const { row } = numbersAt(curve, place, view);
  const done = place === null || view.x !== "steps" ? row[STEP] + (place === null ? 1 : 0) : Math.round(place);
  const tokens = (place === null ? row[TOKENS] : BEFORE.tokens(row)).toLocaleString("en-US", { maximumFractionDigits: 0 });
  return `${place === null ? "Newest: step" : "Step"} ${done}${of}, ${tokens} ${view.unit}s, ${row[SECONDS].toFixed(1)} s`;
}

// Makes the table; `show(curves, place, view)` fills it. What stands there is changed in place, so that nothing jumps.
function numbersTable(parent) {
  const frame = named(parent, "div", "course-lab-numbers", "font: 12px/1.5 sans-serif; font-variant-numeric: tabular-nums; position: relative;");
  const about = named(frame, "div", "course-lab-moment-words", "font-weight: bold; min-height: 1.5em;");
  const table = add(frame, "table", "border-collapse: collapse; color: inherit; background: none; margin: 0; font: inherit;");
  let built = "";
  let cells = [];
  const build = (curves, view) => {
    table.replaceChildren();
    const head = add(add(table, "thead"), "tr", "background: none; border: 0;");
    add(add(head, "th", `${CELL} text-align: left;`), "span", HIDDEN, "run").parentElement.scope = "col";
    for (const [name, , meaning] of columns(view)) {
      const cell = add(head, "th", `${CELL} opacity: 0.8; white-space: normal; vertical-align: bottom;`, view.narrow ? name : name + (DRAWN_AS[name.split(",")[0]] ?? ""));
      cell.scope = "col";
      if (meaning) cell.title = meaning;
    }
    const body = add(table, "tbody");
    cells = curves.map((curve) => {
      const line = add(body, "tr", "background: none; border: 0;");
      const name = add(line, "th", `${CELL} text-align: left;`);
      name.scope = "row";
      const label = add(name, "span", "display: inline-flex; align-items: center; gap: 6px;");
      swatch(label, curve);
      add(label, "span", "", curve.label || "this run");
      return columns(view).map(() => add(line, "td", CELL));
    });
  };
  const show = (curves, place, view) => {
    const signature = JSON.stringify([curves.map(({ label, color, dash }) => [label, color, dash]), view.smooth, view.norm, view.narrow]);
    if (signature !== built) build(curves, view);
    built = signature;
    about.textContent = momentWords(curves, place, view);
    table.style.visibility = curves.length ? "visible" : "hidden";
    curves.forEach((curve, i) => {
      const numbers = numbersAt(curve, place, view);
      columns(view).forEach(([, write], j) => (cells[i][j].textContent = numbers ? write(numbers) : "–"));
    });
    return [about.textContent, ...curves.map((curve) => inNumbers(curve, place, view))].join(". ");
  };
  return { show };
}

// A run at a moment, to be read out.
function inNumbers(curve, place, view) {
  const numbers = numbersAt(curve, place, view);
  if (!numbers) return `${curve.label || "the run"}: not there yet`;
  const parts = columns(view).map(([name, write]) => [name, write(numbers)]).filter(([, text]) => text !== "–");
  return `${curve.label || "the run"}: ${parts.map((pair) => pair.join(" ")).join(", ")}`;
}

// Runs that read different numbers of tokens in a step are not to be compared by steps.
function unequalWords(curves, view) {
  const kinds = [...new Set(curves.map(({ kind }) => kind).filter(Boolean))];
  if (kinds.length > 1) return `These runs learn different things (${kinds.join(", ")}): one may be harder than the other, so their losses do not compare.`;
  const read = curves.filter((curve) => curve.tokens_per_step);
  if (view.x !== "steps" || new Set(read.map((curve) => curve.tokens_per_step)).size < 2) return "";
  const parts = read.map((curve) => `${curve.label || "this run"}: ${curve.tokens_per_step.toLocaleString("en-US")}${curve.block_size ? ` (block_size ${curve.block_size})` : ""}`);
  return `These runs read different numbers of ${view.unit}s per step: ${parts.join("; ")}. To compare what each read, set the axis to ${view.unit}s.`;
}
