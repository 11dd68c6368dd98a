// The moment of a run that a reader points at: a chart tells it, and what stands beside the chart may follow.

const MOMENT_POINTED = "course-lab-moment"; // detail: key (of the chart), step (or null: the newest)
const SAMPLE_SHOWN = "course-lab-sample"; // detail: key, step (or null)

const tellMoment = (key, step) => document.dispatchEvent(new CustomEvent(MOMENT_POINTED, { detail: { key, step } }));
const tellSample = (key, step) => document.dispatchEvent(new CustomEvent(SAMPLE_SHOWN, { detail: { key, step } }));

// A sheet over the chart that hears pointer and keys; `place` is where on the axis of steps, tokens or seconds, or null.
function momentSlider(layer) {
  const sheet = named(layer, "div", "course-lab-moment", "position: absolute; cursor: crosshair;");
  sheet.tabIndex = 0;
  sheet.setAttribute("role", "slider");
  sheet.setAttribute("aria-label", "moment of the runs: arrow keys move, Escape is the newest");
  sheet.setAttribute("aria-valuemin", 0);
  const self = { place: null, heard: () => {}, show: null };
  let [plan, curves, view] = [null, [], null];
  const move = (place) => {
    const same = place === self.place;
    self.place = place;
    if (!same) self.heard();
  };
  const inside = (place) => Math.min(plan.end, Math.max(0, place));
  sheet.addEventListener("pointermove", (event) => {
    if (!curves.length) return;
    const place = inside(plan.place(event.clientX - layer.getBoundingClientRect().left));
    move(view.x === "steps" ? Math.round(place) : place);
  });
  sheet.addEventListener("pointerleave", () => document.activeElement !== sheet && move(null));
  sheet.addEventListener("blur", () => move(null));
  keepKeys(sheet);
  sheet.addEventListener("keydown", (event) => {
    const longest = curves.reduce((most, curve) => (curve.rows.length > (most?.rows.length ?? 0) ? curve : most), null);
    if (!longest) return;
    const where = BEFORE[view.x];
    const last = longest.rows.length - 1;
    const here = self.place === null ? last : longest.rows.indexOf(rowAt(longest.rows, self.place, where));
    const far = Math.max(1, Math.round(last / 20));
    const to = {
      ArrowLeft: here - 1, ArrowDown: here - 1, ArrowRight: here + 1, ArrowUp: here + 1, PageDown: here - far, PageUp: here + far,
      Home: 0, End: last,
    }[event.key];
    if (event.key === "Escape") move(null);
    else if (to === undefined) return;
    else move(where(longest.rows[Math.min(last, Math.max(0, to))]));
    event.preventDefault();
  });
  self.show = (nowPlan, nowCurves, nowView, words) => {
    [plan, curves, view] = [nowPlan, nowCurves, nowView];
    Object.assign(sheet.style, {
      left: `${plan.box.left}px`, width: `${plan.box.right - plan.box.left}px`, top: `${plan.box.top}px`, height: `${plan.base - plan.box.top}px`,
    });
    const newest = Math.max(0, ...curves.map(({ rows }) => (rows.length ? BEFORE[view.x](rows.at(-1)) : 0)));
    sheet.setAttribute("aria-valuemax", plan.end);
    sheet.setAttribute("aria-valuenow", self.place ?? newest);
    sheet.setAttribute("aria-valuetext", words);
  };
  return self;
}
