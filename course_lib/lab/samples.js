// Samples that a run wrote on its way: the newest, or that of the moment that a reader points at.

const CHIP = `font: 12px/1.6 sans-serif; color: ${INK}; background: ${PAPER}; border: 1px solid #808080; border-radius: 10px; padding: 0 8px; cursor: pointer; white-space: nowrap;`;

function render({ model, el }) {
  const frame = named(el, "div", "course-lab-sample", `color: ${INK}; width: 100%;`);
  add(frame, "style", "", model.get("css"));
  const about = named(frame, "div", "course-lab-heading", "min-height: 1.5em;");
  const row = add(frame, "div", "display: flex; align-items: baseline; gap: 6px; padding: 4px 0; min-height: 24px;");
  const ticks = add(row, "span", "font: 12px/1.6 sans-serif; opacity: 0.8; flex: none;");
  const chips = named(row, "div", "course-lab-samples", "display: flex; flex-wrap: wrap; gap: 4px;");
  chips.setAttribute("role", "radiogroup");
  chips.setAttribute("aria-label", "which sample, by the steps behind it");
  const text = named(frame, "div", "course-lab-text", "");
  let pinned = null; // the step of the sample that was chosen; null is the newest
  let pointed = null; // the moment that is pointed at in the chart
  let tallest = 0;

  const chosen = (entries) => {
    const at = pointed ?? pinned;
    if (at === null) return entries.length - 1;
    return Math.max(0, entries.findLastIndex(({ step }) => step <= at));
  };
  const choose = (entries, index) => {
    pinned = index >= entries.length - 1 ? null : entries[index].step;
    redraw();
  };
  const chip = (entries, entry, index, isShown) => {
    const node = add(chips, "button", CHIP, entry.growing ? entry.label : `step ${entry.label}`);
    Object.assign(node, { type: "button", tabIndex: isShown ? 0 : -1 });
    node.setAttribute("role", "radio");
    node.setAttribute("aria-checked", String(isShown));
    node.setAttribute("aria-label", entry.about + (entry.share ? `: ${entry.share}` : ""));
    if (isShown) Object.assign(node.style, { fontWeight: "bold", borderColor: INK, boxShadow: `inset 0 -3px 0 ${entry.growing ? "#E69F00" : "#0072B2"}` });
    if (entry.short) add(node, "span", "font-weight: normal; opacity: 0.85;", ` · ${entry.short}`);
    node.addEventListener("click", () => choose(entries, index));
  };
  const redraw = () => {
    const entries = model.get("entries");
    const index = chosen(entries);
    const entry = entries[index];
    const hadFocus = chips.contains(document.activeElement);
    chips.replaceChildren();
    if (entries.length > 1 || entry?.step != null) entries.forEach((one, i) => chip(entries, one, i, i === index));
    if (hadFocus) chips.children[index]?.focus();
    ticks.textContent = chips.children.length && model.get("chart") ? "At the triangles under the curve:" : "";
    about.replaceChildren(entry?.about ?? "What the model writes will stand here: before training, after 10 steps, 30, 100, ... where the run has time for it, and at its end");
    if (entry?.share) about.append(": ", Object.assign(document.createElement("b"), { textContent: entry.share }));
    if (text.dataset.html !== (entry?.html ?? "")) text.innerHTML = text.dataset.html = entry?.html ?? ""; // Python has escaped what the model wrote
    tallest = Math.max(tallest, text.clientHeight); // a shorter sample does not pull the page up
    text.style.minHeight = tallest ? `max(9.5em, ${tallest}px)` : "";
    tellSample(model.get("chart"), entries.length ? entry.step : null);
  };
  const follows = ({ detail }) => {
    if (detail.key !== model.get("chart") || detail.step === pointed) return;
    const before = chosen(model.get("entries"));
    pointed = detail.step;
    if (chosen(model.get("entries")) !== before) redraw();
  };
  keepKeys(chips);
  chips.addEventListener("keydown", (event) => {
    const entries = model.get("entries");
    const last = entries.length - 1;
    const here = chosen(entries);
    const to = { ArrowLeft: here - 1, ArrowUp: here - 1, ArrowRight: here + 1, ArrowDown: here + 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    choose(entries, Math.min(last, Math.max(0, to)));
  });
  document.addEventListener(MOMENT_POINTED, follows);
  const leave = follow(model, { "": redraw }, frame, () => {
    if (frame.dataset.width === String(frame.clientWidth)) return;
    frame.dataset.width = frame.clientWidth;
    tallest = 0;
    text.style.minHeight = "";
  });
  return () => {
    document.removeEventListener(MOMENT_POINTED, follows);
    leave();
  };
}

export default { render };
