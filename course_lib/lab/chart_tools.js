// What a reader can choose over a chart: axes, smoothing, files; and the guess, by number or by a mark to drag.

const FIELD = `font: 12px sans-serif; color: ${INK}; background: ${PAPER}; border: 1px solid #808080; border-radius: 3px; padding: 2px 4px; height: 24px; box-sizing: border-box;`;

function choice(bar, words, options, hear) {
  const label = add(bar, "label", "display: inline-flex; align-items: center; gap: 4px; white-space: nowrap;", words);
  const box = add(label, "select", FIELD);
  box.setAttribute("aria-label", words); // without its options, which the label holds too
  for (const [value, text] of options) add(box, "option", "", text).value = value;
  box.addEventListener("change", () => hear(box.value));
  return (value) => (box.value = value);
}

function check(bar, words, title, hear) {
  const label = add(bar, "label", "display: inline-flex; align-items: center; gap: 4px; white-space: nowrap; cursor: pointer;");
  const box = add(label, "input", "margin: 0;");
  box.type = "checkbox";
  add(label, "span", "", words);
  label.title = title;
  box.addEventListener("change", () => hear(box.checked));
  return (value) => (box.checked = value);
}

function button(bar, words, title, press) {
  const node = add(bar, "button", `${FIELD} cursor: pointer; padding: 2px 8px;`, words);
  Object.assign(node, { type: "button", title });
  node.setAttribute("aria-label", title);
  node.addEventListener("click", press);
}

// The bar over the chart, of losses per `unit`; `choose(name, value)` hears of each choice. Returns what shows a view in it.
function toolbar(parent, unit, choose, files) {
  const bar = named(parent, "div", "course-lab-tools", "display: flex; flex-wrap: wrap; gap: 4px 12px; align-items: center; font: 12px/1.5 sans-serif; padding: 0 2px 4px;");
  bar.setAttribute("role", "group");
  bar.setAttribute("aria-label", "How the chart is drawn");
  const shown = {
    x: choice(bar, "axis", [["steps", "steps"], ["tokens", `${unit}s`], ["seconds", "seconds"]], (value) => choose("x", value)),
    log: choice(bar, "loss", [["", "linear"], ["log", "logarithmic"]], (value) => choose("log", value === "log")),
    smooth: choice(bar, "smoothing", [[0, "none"], [10, "10 steps"], [50, "50 steps"], [200, "200 steps"]], (value) => choose("smooth", Number(value))),
    norm: check(bar, "gradient norm", "a track of the gradient's norm before clipping", (value) => choose("norm", value)),
    fit: check(bar, "zoom", "the axes span what the curves hold, without the losses of their first tenth", (value) => choose("fit", value)),
  };
  button(bar, "PNG", "save the chart as a picture (PNG)", files.png);
  button(bar, "CSV", "save the numbers of all steps as a table (CSV)", files.csv);
  keepKeys(bar);
  return (view) => {
    for (const [name, show] of Object.entries(shown)) show(name === "log" ? (view.log ? "log" : "") : view[name]);
  };
}

// The learner's guess: a number to type, and a mark at the right end of the chart to drag. `set(value)` hears of it.
function guessing(parent, layer, isAsked, set) {
  const line = named(parent, "div", "course-lab-guess course-lab-hears", `font: 12px/1.5 sans-serif; padding: 2px; ${isAsked ? "" : "display: none;"}`);
  const label = add(line, "label", "", "My guess: the validation loss will end near ");
  const field = add(label, "input", `${FIELD} width: 5.5em;`);
  Object.assign(field, { type: "number", min: 0, step: 0.05 });
  const about = add(line, "span", "opacity: 0.8;");
  keepKeys(field);
  field.addEventListener("change", () => set(field.value === "" || !(Number(field.value) >= 0) ? null : Number(field.value)));
  const mark = named(layer, "div", "course-lab-guess-mark", `position: absolute; left: 16px; box-sizing: border-box; height: 20px; margin-top: -10px; padding: 0 3px; text-align: right; cursor: ns-resize; touch-action: none; user-select: none; font: 11px/18px sans-serif; color: ${INK}; background: ${PAPER}; border: 1px solid #808080; border-radius: 3px; white-space: nowrap;`);
  mark.setAttribute("aria-hidden", "true"); // the number is for the keyboard
  mark.title = "drag it to where you think the validation loss will end";
  let scale = null;
  mark.addEventListener("pointerdown", (event) => {
    mark.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  const valueAt = (event) => {
    const at = event.clientY - layer.getBoundingClientRect().top;
    return Math.max(0, Number(scale.value(Math.min(scale.bottom, Math.max(scale.top, at))).toFixed(2)));
  };
  mark.addEventListener("pointermove", (event) => {
    if (!mark.hasPointerCapture(event.pointerId)) return;
    const value = valueAt(event);
    place(value);
    field.value = value;
  });
  mark.addEventListener("pointerup", (event) => set(valueAt(event)));
  const place = (value) => {
    mark.style.top = `${value === null ? scale.top + 0.84 * (scale.bottom - scale.top) : Math.min(scale.bottom, Math.max(scale.top, scale.at(value)))}px`;
    mark.textContent = value === null ? "guess" : `${value.toFixed(2)} ▸`;
  };
  const show = (value, now, isOpen) => {
    scale = now;
    field.disabled = !isOpen;
    mark.style.display = isOpen && isAsked ? "" : "none";
    mark.style.width = `${now.left - 16}px`;
    if (document.activeElement !== field || !isOpen) field.value = value ?? "";
    about.textContent = isOpen ? " nats (or drag the mark); noted at Start" : " nats; the run at hand keeps the guess noted at Start";
    place(value);
  };
  return { show };
}
