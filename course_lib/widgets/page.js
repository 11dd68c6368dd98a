// What the widgets share. A widget's module is one text: this comes first, then the widget's own file (see page.py).

const NS = "http://www.w3.org/2000/svg";
// The page's own colors: JupyterLab, the book, VS Code, Colab, or the browser's.
const INK =
  "var(--jp-ui-font-color1, var(--pst-color-text-base, var(--vscode-foreground, var(--colab-primary-text-color, CanvasText))))";
const PAPER =
  "var(--jp-layout-color0, var(--pst-color-background, var(--vscode-editor-background, var(--colab-primary-surface-color, Canvas))))";

// A new element of a drawing, at the end of `parent`.
function make(parent, tag, attributes, text) {
  const node = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  parent.appendChild(node);
  return node;
}

// A new element of the page, at the end of `parent`.
function add(parent, tag, style = "", text) {
  const node = document.createElement(tag);
  node.style.cssText = style;
  if (text !== undefined) node.textContent = text;
  parent.appendChild(node);
  return node;
}

// The same with a class, by which tests and the eye of a reader find it.
function named(parent, tag, name, style, text) {
  const node = add(parent, tag, style, text);
  if (name) node.className = name;
  return node;
}

// A name that no other widget has. Each widget loads its module anew, so a counter would begin again in each.
const unique = (name) => `course-lab-${name}-${Math.random().toString(36).slice(2)}`;

// A piece of a run's line with its marker, for a legend.
function swatch(parent, { color, dash, marker }) {
  const svg = make(parent, "svg", { width: 36, height: 14, "aria-hidden": "true", style: "flex: none;" });
  make(svg, "line", { x1: 0, x2: 36, y1: 7, y2: 7, stroke: color, "stroke-width": 2, "stroke-dasharray": dash });
  make(svg, "path", { d: marker, fill: color, transform: "translate(18 7)" });
}

const shortPercent = (p) => (p >= 0.0095 ? `${Math.round(100 * p)}%` : "<1%");

// What every drawing has; its words and lines take the page's ink.
const PICTURE = { role: "img", style: `font: 11px sans-serif; fill: ${INK}; display: block;` };
const widthOf = (frame, usual = 760) => Math.max(320, frame.clientWidth || usual);

// Lines for 0, a half and the whole of an axis that is high enough for `highest`; returns where a share stands on it.
function shareAxis(svg, highest, { left, right, top, base }) {
  const most = [0.1, 0.2, 0.5, 1].find((value) => highest <= value + 1e-6) ?? 1;
  const y = (share) => base - (share / most) * (base - top);
  for (const part of [0, 0.5, 1]) {
    const at = y(part * most);
    make(svg, "line", { x1: left, x2: right, y1: at, y2: at, stroke: INK, "stroke-opacity": part ? 0.18 : 0.8 });
    make(svg, "text", { x: left - 5, y: at + 4, "text-anchor": "end" }, `${Math.round(100 * part * most)}%`);
  }
  return y;
}

// Words for those to whom they are read out.
const HIDDEN = "position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);";
const BUTTON = `font: 13px sans-serif; padding: 4px 12px; color: ${INK}; background: ${PAPER}; border: 1px solid #808080; border-radius: 3px; cursor: pointer;`;

// What edits a text with Ctrl or Cmd stays in the widget: JupyterLab would select, undo or move cells.
const EDITS = /^(a|c|v|x|y|z|arrow.+|home|end|backspace|delete)$/i;
const EDITS_WITH_SHIFT = /^(v|z|arrow.+|home|end|backspace|delete)$/i;

function isForThePage(event) {
  if (event.getModifierState("AltGraph")) return false; // Ctrl + Alt writes letters on some keyboards
  const edits = event.shiftKey ? EDITS_WITH_SHIFT : EDITS;
  return (event.ctrlKey || event.metaKey) && event.key !== "Enter" && !edits.test(event.key);
}

// JupyterLab's own shortcuts (Shift + Enter, A, B, D D, arrows) do not see what is pressed in `node`, but see Ctrl + S.
function keepKeys(node) {
  for (const kind of ["keydown", "keypress", "keyup"])
    node.addEventListener(kind, (event) => {
      if (!isForThePage(event)) event.stopPropagation();
    });
}

// A labelled box for the model's `text`. Returns the box, and what to do when the text was changed elsewhere.
function textBox(parent, model, label, rows = 2) {
  const line = add(parent, "label", "display: block; margin-bottom: 8px;", label);
  const box = add(
    line, "textarea",
    `display: block; box-sizing: border-box; width: 100%; margin-top: 4px; font: 15px/1.5 monospace; color: ${INK}; ` +
      `background: ${PAPER}; border: 1px solid #808080; border-radius: 3px; padding: 4px 6px;`,
  );
  box.rows = rows;
  box.spellcheck = false;
  box.value = model.get("text");
  const keys = add(parent, "div", "font-size: 12px; margin: -4px 0 8px;", "Esc leaves the box.");
  keys.id = unique("keys");
  box.setAttribute("aria-describedby", keys.id);
  keepKeys(box);
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.isComposing) return;
    event.preventDefault();
    box.blur();
    box.closest(".jp-Cell")?.focus();
  });
  box.addEventListener("input", () => {
    model.set("text", box.value);
    model.save_changes();
  });
  const rewrite = () => {
    if (box.value === model.get("text")) return;
    box.value = model.get("text");
    box.scrollTop = box.scrollHeight;
  };
  return { box, keys, rewrite };
}

// A slider over the steps of something, with the step in words; `show(step, last)` puts it there.
function stepSlider(parent) {
  const label = add(parent, "label", "display: flex; flex: 1; align-items: center; gap: 8px;", "step");
  const slider = named(label, "input", "course-lab-step", "flex: 1; min-width: 0;");
  Object.assign(slider, { type: "range", min: 0 });
  const shown = named(parent, "span", "course-lab-shown", "min-width: 6em; font-variant-numeric: tabular-nums;");
  const show = (step, last = slider.max) => {
    slider.max = last; // before the value, which would be held down to the old one
    slider.value = step;
    shown.textContent = `${step} of ${last}`;
    slider.setAttribute("aria-valuetext", shown.textContent);
  };
  return { slider, show };
}

// Calls each function of `heard` now, and whenever what it is named after has changed; and `resized`, where it is
// given, when `frame` gets another size. Returns what ends this: a widget's `render` hands it on.
function follow(model, heard, frame, resized) {
  const entries = Object.entries(heard).map(([name, draw]) => [name ? `change:${name}` : "change", draw]);
  for (const [event, draw] of entries) model.on(event, draw);
  const observer = resized ? new ResizeObserver(resized) : null;
  observer?.observe(frame);
  for (const draw of new Set(Object.values(heard))) draw();
  return () => {
    observer?.disconnect();
    for (const [event, draw] of entries) model.off(event, draw);
  };
}
