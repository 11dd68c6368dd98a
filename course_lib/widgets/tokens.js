// A box for text and its picture in tokens. Python tokenizes, draws and escapes: see tokens.py.

// What edits a text with Ctrl or Cmd stays in the box: JupyterLab would select, undo or move cells.
const EDITS = /^(a|c|v|x|y|z|arrow.+|home|end|backspace|delete)$/i;
const EDITS_WITH_SHIFT = /^(v|z|arrow.+|home|end|backspace|delete)$/i;
let views = 0;

function isForThePage(event) {
  if (event.getModifierState("AltGraph")) return false; // Ctrl + Alt writes letters on some keyboards
  const edits = event.shiftKey ? EDITS_WITH_SHIFT : EDITS;
  return (event.ctrlKey || event.metaKey) && !edits.test(event.key);
}

function render({ model, el }) {
  const frame = document.createElement("div");
  frame.className = "course-lab-tokens";
  frame.style.cssText = `position: relative; max-width: 900px; color: ${INK}; font: 13px sans-serif;`;
  const label = document.createElement("label");
  label.style.cssText = "display: block; margin-bottom: 8px;";
  label.textContent = model.get("label");
  const box = document.createElement("textarea");
  box.rows = 2;
  box.spellcheck = false;
  box.value = model.get("text");
  box.style.cssText =
    `display: block; box-sizing: border-box; width: 100%; margin-top: 4px; font: 15px/1.5 monospace; color: ${INK}; ` +
    `background: ${PAPER}; border: 1px solid #808080; border-radius: 3px; padding: 4px 6px;`;
  const keys = document.createElement("div");
  keys.id = `course-lab-tokens-keys-${views++}`;
  keys.style.cssText = "font-size: 12px; margin: -4px 0 8px;";
  keys.textContent = "Esc leaves the box.";
  box.setAttribute("aria-describedby", keys.id);
  const picture = document.createElement("div");
  picture.className = "course-lab-tokens-picture";
  // Read out are the counts, not every box at every key.
  const words = document.createElement("div");
  words.setAttribute("role", "status");
  words.style.cssText = "position: absolute; top: 0; left: 0; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);";
  label.appendChild(box);
  frame.append(label, keys, picture, words);
  el.appendChild(frame);

  // JupyterLab's own shortcuts (Shift + Enter, A, B, D D) should not see what is typed here, but may see Ctrl + S.
  for (const kind of ["keydown", "keypress", "keyup"])
    box.addEventListener(kind, (event) => {
      if (!isForThePage(event)) event.stopPropagation();
    });
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.isComposing) return;
    event.preventDefault();
    box.blur();
    el.closest(".jp-Cell")?.focus();
  });
  box.addEventListener("input", () => {
    model.set("text", box.value);
    model.save_changes();
  });
  const redraw = () => {
    picture.innerHTML = model.get("picture");
    words.textContent = model.get("words");
  };
  const rewrite = () => {
    if (box.value !== model.get("text")) box.value = model.get("text");
  };
  model.on("change:picture", redraw);
  model.on("change:words", redraw);
  model.on("change:text", rewrite);
  redraw();
  return () => {
    model.off("change:picture", redraw);
    model.off("change:words", redraw);
    model.off("change:text", rewrite);
  };
}

export default { render };
