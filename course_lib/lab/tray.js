// The tray of finished runs: see tray.py for what a row holds.

function element(parent, tag, properties = {}, text) {
  const node = document.createElement(tag);
  Object.assign(node, properties);
  if (text !== undefined) node.textContent = text;
  parent.appendChild(node);
  return node;
}

function row(model, data) {
  const item = document.createElement("li");
  item.style.cssText = "display: flex; gap: 0.6em; align-items: baseline; padding: 3px 0;";
  const label = element(item, "label", {});
  label.style.cssText = "display: flex; gap: 0.5em; align-items: center; white-space: nowrap; cursor: pointer;";
  const box = element(label, "input", { type: "checkbox", value: data.key, checked: model.get("checked").includes(data.key) });
  box.style.margin = "0";
  box.setAttribute("aria-label", `show ${data.label} in the chart`);
  box.addEventListener("change", () => {
    const others = model.get("checked").filter((key) => key !== data.key);
    model.set("checked", box.checked ? [...others, data.key] : others);
    model.save_changes();
  });
  swatch(label, data.style);
  element(label, "b", {}, data.label);
  const words = element(item, "span", { className: "course-lab-tray-words" }, `${data.about}; ${data.numbers}`);
  words.style.cssText = "flex: 1 1 auto; min-width: 0; overflow-wrap: anywhere;";
  if (data.note) element(words, "i", {}, ` ${data.note}`);
  if (data.command) {
    element(words, "br");
    element(words, "code", { className: "course-lab-tray-command" }, data.command).style.fontSize = "12px";
  }
  const remove = element(item, "button", { type: "button", title: `remove ${data.label}` }, "remove");
  remove.style.cssText =
    `font: inherit; color: ${INK}; background: none; border: 1px solid var(--jp-border-color2, #999); border-radius: 3px; cursor: pointer;`;
  remove.setAttribute("aria-label", `remove ${data.label}`);
  remove.addEventListener("click", () => model.send({ remove: data.key }));
  return item;
}

function render({ model, el }) {
  const frame = element(el, "div", { className: "course-lab-tray-frame" });
  frame.style.cssText = `font: 13px sans-serif; color: ${INK};`;
  // It is what one looks for, and stands last.
  const showNewest = () => {
    const list = frame.querySelector("ul");
    if (list) list.scrollTop = list.scrollHeight;
  };
  let width = 0;
  const resized = () => {
    if (width !== frame.clientWidth) showNewest();
    width = frame.clientWidth;
  };
  const redraw = () => {
    frame.replaceChildren();
    const rows = model.get("rows");
    if (!rows.length) {
      element(frame, "div", {}, "Finished runs will lie here, to be laid over one another.").style.opacity = "0.75";
      return;
    }
    element(frame, "div", {}, `Finished runs: ${rows.length} (check a run to see its curve)`).style.opacity = "0.75";
    const list = element(frame, "ul", {});
    list.style.cssText = "list-style: none; margin: 0; padding: 0; max-height: 34em; overflow-y: auto;";
    for (const data of rows) list.appendChild(row(model, data));
    showNewest();
  };
  // A box that was checked by hand keeps its place and the focus: only its sign follows.
  const check = () => {
    for (const box of frame.querySelectorAll("input")) box.checked = model.get("checked").includes(Number(box.value));
  };
  return follow(model, { rows: redraw, checked: check }, frame, resized);
}

export default { render };
