// A text under several tokenizers at once. Python tokenizes, draws and escapes: see pieces.py.

// Every piece is a stop for the arrow keys, and the first of each row one for the Tab key.
function enter(row) {
  const found = [...row.querySelectorAll("[title]")];
  found.forEach((piece, i) => {
    piece.tabIndex = i ? -1 : 0;
    piece.setAttribute("role", "img");
    piece.setAttribute("aria-label", piece.title);
  });
}

function moveAmong(row, event) {
  const found = [...row.querySelectorAll("[title]")];
  const [here, last] = [found.indexOf(event.target), found.length - 1];
  const to = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: last }[event.key];
  if (here < 0 || to === undefined) return;
  event.preventDefault();
  const next = found[Math.min(Math.max(to, 0), last)];
  found[here].tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

function render({ model, el }) {
  const frame = named(el, "div", "course-lab-pieces", `position: relative; max-width: 900px; color: ${INK}; font: 13px/1.5 sans-serif;`);
  const { keys, rewrite } = textBox(frame, model, model.get("label"));
  keys.textContent += " Point at a piece, or go to a row with Tab and along it with the arrow keys, to read its id and bytes.";
  const picture = named(frame, "div", "course-lab-pieces-picture");
  keepKeys(picture);
  const words = add(frame, "div", `${HIDDEN} top: 0; left: 0;`);
  words.setAttribute("role", "status");

  const tell = (event) => {
    const piece = event.target.closest("[title]");
    const row = piece?.closest("[data-row]");
    if (row) row.querySelector("[data-told]").textContent = piece.title;
  };
  picture.addEventListener("mouseover", tell);
  picture.addEventListener("focusin", (event) => {
    tell(event);
    event.target.style.outline = "3px solid #D55E00";
  });
  picture.addEventListener("focusout", (event) => (event.target.style.outline = ""));
  picture.addEventListener("keydown", (event) => moveAmong(event.target.closest("[data-row]"), event));
  const redraw = () => {
    picture.innerHTML = model.get("picture");
    for (const row of picture.querySelectorAll("[data-row]")) enter(row);
    words.textContent = model.get("words");
  };
  return follow(model, { picture: redraw, words: redraw, text: rewrite });
}

export default { render };
