// A box for text and its picture in tokens. Python tokenizes, draws and escapes: see tokens.py.

function render({ model, el }) {
  const frame = named(el, "div", "course-lab-tokens", `position: relative; max-width: 900px; color: ${INK}; font: 13px sans-serif;`);
  const { rewrite } = textBox(frame, model, model.get("label"));
  const picture = named(frame, "div", "course-lab-tokens-picture");
  // Read out are the counts, not every box at every key.
  const words = add(frame, "div", `${HIDDEN} top: 0; left: 0;`);
  words.setAttribute("role", "status");
  const redraw = () => {
    picture.innerHTML = model.get("picture");
    words.textContent = model.get("words");
  };
  return follow(model, { picture: redraw, words: redraw, text: rewrite });
}

export default { render };
