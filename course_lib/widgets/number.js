// A field for a whole number, with its name before it.

function render({ model, el }) {
  const label = add(el, "label", `display: flex; align-items: center; gap: 8px; color: ${INK}; font: 13px/1.4 sans-serif; padding: 2px;`, model.get("description"));
  const input = add(label, "input", `flex: 1; min-width: 0; box-sizing: border-box; height: 28px; padding: 2px 6px; font: inherit; color: ${INK}; background: ${PAPER}; border: 1px solid #808080; border-radius: 3px;`);
  Object.assign(input, { type: "number", min: model.get("min"), max: model.get("max"), step: 1 });
  keepKeys(input);
  const show = () => (input.value = model.get("value"));
  input.addEventListener("change", () => {
    const typed = Math.trunc(input.valueAsNumber);
    if (Number.isFinite(typed)) {
      model.set("value", Math.min(Math.max(typed, model.get("min")), model.get("max")));
      model.save_changes();
    }
    show(); // what was empty, or out of bounds, says at once what counts
  });
  return follow(model, { value: show });
}

export default { render };
