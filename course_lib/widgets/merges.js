// What byte-pair encoding does to a text, a merge at a time. Python merges, draws and escapes: see merges.py.

function render({ model, el }) {
  const frame = named(el, "div", "course-lab-merges", `position: relative; max-width: 900px; color: ${INK}; font: 13px/1.5 sans-serif;`);
  const { keys, rewrite } = textBox(frame, model, model.get("label"), 1);
  keys.textContent += ` ${model.get("legend")}`;
  const bar = add(frame, "div", "display: flex; align-items: center; gap: 10px; margin-bottom: 8px;");
  keepKeys(bar);
  const back = named(bar, "button", "course-lab-back", BUTTON, "◀ Back");
  const forward = named(bar, "button", "course-lab-forward", BUTTON, "Forward ▶");
  const { slider, show } = stepSlider(bar);
  const picture = named(frame, "div", "course-lab-merges-picture", "min-height: 74px;");
  picture.setAttribute("role", "img");
  const words = named(frame, "div", "course-lab-status", "min-height: 3em;");
  words.setAttribute("role", "status");

  const go = (step) => {
    model.set("step", Math.min(Math.max(step, 0), model.get("last")));
    model.save_changes();
  };
  back.addEventListener("click", () => go(model.get("step") - 1));
  forward.addEventListener("click", () => go(model.get("step") + 1));
  slider.addEventListener("input", () => go(Number(slider.value)));
  const redraw = () => {
    picture.innerHTML = model.get("picture");
    picture.setAttribute("aria-label", model.get("alt"));
    if (words.textContent !== model.get("words")) words.textContent = model.get("words");
  };
  const move = () => {
    const [step, last] = [model.get("step"), model.get("last")];
    show(step, last);
    slider.disabled = last === 0;
    // A button that is truly disabled would lose the focus, and with it the place of those who use the keyboard.
    for (const [button, isAtEnd] of [[back, step === 0], [forward, step === last]]) {
      button.setAttribute("aria-disabled", String(isAtEnd));
      button.style.opacity = isAtEnd ? 0.6 : 1;
    }
  };
  return follow(model, { picture: redraw, words: redraw, alt: redraw, step: move, last: move, text: rewrite });
}

export default { render };
