// A slider over a list of values: its name and its value in words, for the eye and for a screen reader.

function render({ model, el }) {
  const stacked = model.get("stacked");
  const frame = named(el, "div", "course-lab-slider", `color: ${INK}; font: 13px/1.4 sans-serif; padding: 2px; ${stacked ? "" : "display: flex; align-items: center; gap: 8px;"}`);
  const head = stacked ? add(frame, "div", "display: flex; justify-content: space-between; gap: 12px;") : frame;
  const name = add(head, "label", stacked ? "" : `flex: none; width: ${model.get("label_width")}; text-align: right;`);
  const style = `min-width: 0; height: 20px; accent-color: var(--jp-brand-color1, #0072B2); ${stacked ? "display: block; width: 100%; margin: 0;" : "flex: 1 1 60px; width: 60px; margin: 0;"}`;
  const range = stacked ? null : add(frame, "input", style);
  const shown = add(head, "output", `font-variant-numeric: tabular-nums; ${stacked ? "font-weight: bold;" : "flex: none; min-width: 4em;"}`);
  const input = range ?? add(frame, "input", style);
  const meaning = add(frame, "div", `font-size: 12px; line-height: 1.25; opacity: 0.8; ${stacked ? "" : "display: none;"}`);
  Object.assign(input, { type: "range", min: 0, step: 1, id: unique("slider") });
  name.htmlFor = input.id;
  meaning.id = unique("meaning");
  input.setAttribute("aria-describedby", meaning.id);
  shown.setAttribute("aria-hidden", "true"); // the slider itself says its value
  keepKeys(input);

  const say = (index) => {
    shown.textContent = model.get("words")[index] ?? "";
    input.setAttribute("aria-valuetext", shown.textContent);
  };
  const redraw = () => {
    name.textContent = model.get("description");
    meaning.textContent = model.get("meaning");
    input.disabled = model.get("disabled");
    frame.style.opacity = input.disabled ? 0.55 : 1;
    input.max = model.get("words").length - 1; // before the value, which would be held down to the old one
    input.value = model.get("index");
    say(model.get("index"));
  };
  input.addEventListener("input", () => {
    const index = Number(input.value);
    say(index); // at once, however busy the kernel is
    model.set("index", index);
    model.save_changes();
  });
  return follow(model, { "": redraw });
}

export default { render };
