// Numbers of a chart: what a row holds, where it stands on the axes, and how numbers are written.

const [STEP, LOSS, LR, NORM, TOKENS, SECONDS, VAL] = [0, 1, 2, 3, 4, 5, 6]; // of a row; see curves.py
const xName = ({ x, unit }) => ({ steps: "completed optimizer steps", tokens: `${unit}s read`, seconds: "seconds, scoring included" })[x];
const yName = ({ log, unit }) => `loss (nats per ${unit})${log ? ", log" : ""}`;
const ROUND = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10];

const written = (value) => String(Number(value.toPrecision(6)));

// 1500 as 1500, 220800 as 220.8k, 12000000 as 12M.
function short(value) {
  for (const [size, letter] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]])
    if (Math.abs(value) >= size) return `${Number((value / (letter === "k" ? 1e3 : size)).toPrecision(4))}${letter}`;
  return written(value);
}

const lossText = (loss) => (loss === null || loss === undefined ? "–" : Math.abs(loss) < 1000 ? loss.toFixed(3) : loss.toExponential(0));
const rateText = (rate) => (rate === null || rate === undefined ? "–" : String(Number(rate.toPrecision(3))));

// The same where there is little room: as 4.9e-4 where it would be longer than that.
const narrowRate = (rate) => (rateText(rate).length > 7 ? rate.toExponential(1) : rateText(rate));

function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ROUND.find((factor) => factor * power >= value * 0.999999);
}

// Round numbers from `start` to `end`, about `count` of them: steps of 1, 2 or 5 times a power of ten.
function ticks(end, count, start = 0) {
  const raw = (end - start) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999);
  const first = Math.ceil(start / step - 1e-9);
  return Array.from({ length: Math.floor(end / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step);
}

// The same for a logarithmic axis: 1, 2, 5, 10, 20, ...; where that is too few, what a plain axis has.
function logTicks(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
    for (const factor of [1, 2, 3, 5]) if (factor * 10 ** power >= low && factor * 10 ** power <= high) found.push(factor * 10 ** power);
  return found.length > 2 ? found : ticks(high, 5, low);
}

// Where the training loss of a row stands, which was measured before its update; and the validation loss, after it.
const BEFORE = {
  steps: (row) => row[STEP],
  tokens: (row) => (row[TOKENS] * row[STEP]) / (row[STEP] + 1),
  seconds: (row) => row[SECONDS],
};
const AFTER = { steps: (row) => row[STEP] + 1, tokens: (row) => row[TOKENS], seconds: (row) => row[SECONDS] };

// Where a step stands for which there may be no row yet.
function placeOf(curve, step, unit) {
  if (unit === "steps") return step;
  const last = curve.rows.at(-1);
  if (!last) return null;
  if (unit === "tokens") return step * curve.tokens_per_step;
  const row = rowAt(curve.rows, step, BEFORE.steps);
  return step <= last[STEP] ? row[SECONDS] : (step * last[SECONDS]) / (last[STEP] + 1);
}

// The row that is nearest to a place on the axis.
function rowAt(rows, place, where) {
  let [low, high] = [0, rows.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (where(rows[middle]) < place) low = middle + 1;
    else high = middle;
  }
  const before = rows[low - 1];
  return before && place - where(before) < where(rows[low]) - place ? before : rows[low];
}

// The mean over `count` steps around each row, so that it does not lag behind; over fewer at the steep beginning, as many
// on either side, and at the newest end over those that there are. Returns one number, or null, for each row.
function smoothed(rows, count) {
  if (!count) return rows.map((row) => row[LOSS]);
  const sums = [0];
  const counts = [0];
  for (const row of rows) {
    sums.push(sums.at(-1) + (row[LOSS] ?? 0));
    counts.push(counts.at(-1) + (row[LOSS] === null ? 0 : 1));
  }
  let [from, to] = [0, 0];
  return rows.map((row) => {
    const half = Math.min(count / 2, row[STEP] - rows[0][STEP]);
    while (rows[from][STEP] < row[STEP] - half) from++;
    while (to < rows.length && rows[to][STEP] <= row[STEP] + half) to++;
    const known = counts[to] - counts[from];
    return known && row[LOSS] !== null ? (sums[to] - sums[from]) / known : null;
  });
}

// The last validated row up to a place, and how far its loss is above the training loss of the steps around it: one batch
// says little, and while the loss falls, steps on one side alone would show a gap that is none. So it does in the first
// twenty steps, where the loss falls the fastest: none is told there.
function validated(rows, place, where) {
  let index = rows.length - 1;
  while (index >= 0 && (rows[index][VAL] == null || where(rows[index]) > place + 1e-9)) index--;
  if (index < 0) return null;
  const row = rows[index];
  const near = [];
  for (let i = index; i >= 0 && rows[i][STEP] > row[STEP] - 10; i--) near.push(rows[i][LOSS]);
  for (let i = index + 1; i < rows.length && rows[i][STEP] <= row[STEP] + 10; i++) near.push(rows[i][LOSS]);
  const known = near.filter((loss) => loss !== null);
  const train = known.reduce((sum, loss) => sum + loss, 0) / known.length;
  return { row, gap: known.length && row[STEP] >= 20 ? row[VAL] - train : null };
}

// Where the axis of steps, tokens or seconds ends: with the plan, so that it neither runs along nor jumps at a stop.
function endOfX(data, curves, view) {
  const ends = curves.map((curve) => {
    const last = curve.rows.at(-1);
    if (!last) return 0;
    if (view.fit) return AFTER[view.x](last);
    const steps = Math.max(curve.max_steps ?? 0, last[STEP] + 1);
    return view.x === "tokens" ? steps * curve.tokens_per_step : (steps * last[SECONDS]) / (last[STEP] + 1);
  });
  const end = Math.max(0, ...ends);
  if (view.x === "steps") return view.fit && end ? end : data.x_max;
  return view.x === "seconds" && end && !view.fit ? roundUp(end) : end || data.x_max;
}

// The ends of the loss axis.
function endsOfY(data, curves, view) {
  if (!view.fit && !view.log) return [0, data.y_max];
  let [low, high] = [Infinity, 0];
  for (const { rows } of curves) {
    const start = view.fit ? Math.floor(rows.length / 10) : 0;
    for (let i = start; i < rows.length; i++)
      for (const loss of [rows[i][LOSS], rows[i][VAL]])
        if (loss != null && (loss > 0 || !view.log)) [low, high] = [Math.min(low, loss), Math.max(high, loss)];
  }
  if (view.fit && high > low) return [low - 0.04 * (high - low), Math.min(high + 0.04 * (high - low), 2 * data.y_max)];
  if (!view.log) return [0, data.y_max];
  const least = Math.min(low, ...data.lines.map(({ value }) => value).filter((value) => value > 0));
  const power = Number.isFinite(least) ? 10 ** Math.floor(Math.log10(0.93 * least)) : 0.1;
  return [power * Math.max(1, Math.floor((0.93 * least) / power) || 1), data.y_max];
}
