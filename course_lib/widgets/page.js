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
