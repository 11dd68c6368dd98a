// Where each head looks. Python reads the text and says what is to be seen (see heads.py); here it becomes a table.

const FILL = "rgba(86, 180, 233, 0.85)"; // sky of Okabe and Ito
const CHOSEN = "#D55E00";
const FUTURE = "repeating-linear-gradient(45deg, transparent 0 4px, color-mix(in srgb, currentColor 35%, transparent) 4px 5px)";
const LINE = "1px solid color-mix(in srgb, currentColor 30%, transparent)";
const BARE = `color: ${INK}; background: none; border: 0; padding: 0; cursor: pointer;`;
const NUMBER_HEIGHT = 16; // the upper part of a cell, in pixels: its number stands there, and the bar ends below it
const BAR_HEIGHT = 20;
const NUMBER = `position: absolute; top: 1px; left: 0; right: 0; line-height: ${NUMBER_HEIGHT - 2}px;`;

const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)}%`;

// The strongest of a head's weights, in words.
function inWords(data, row) {
  const order = row.weights.map((_, s) => s).sort((a, b) => row.weights[b] - row.weights[a]);
  const parts = order.slice(0, 5).map((s) => `“${data.tokens[s]}” (token ${s}): ${percent(row.weights[s])}`);
  return `${row.name}, % of the attention: ${parts.join(", ")}${order.length > 5 ? ", ..." : ""}`;
}

// Above, the tokens as buttons; the chosen one is framed and stands on a colored line.
function tokenRow(table, data, choose) {
  const line = add(add(table, "thead"), "tr", "background: none;");
  add(add(line, "td", "padding: 0; border: 0;"), "span", HIDDEN, "head");
  data.tokens.forEach((sign, s) => {
    const isChosen = s === data.chosen;
    const cell = add(line, "th", `padding: 0; text-align: center; font-weight: normal; border-bottom: 3px solid ${isChosen ? CHOSEN : "transparent"};`);
    cell.scope = "col";
    const button = add(
      cell, "button",
      `${BARE} width: 100%; min-width: 22px; height: 26px; white-space: pre; font: ${isChosen ? "bold " : ""}15px monospace; opacity: ${s > data.chosen ? 0.75 : 1};`,
      sign,
    );
    button.className = "course-lab-token";
    button.tabIndex = isChosen ? 0 : -1; // one stop for the Tab key; the arrows move within
    button.setAttribute("aria-pressed", String(isChosen));
    button.setAttribute("aria-label", `token ${s}: ${sign}`);
    button.title = `token ${s}: look from here`;
    button.addEventListener("click", () => choose(s));
  });
}

function moveAmongHeads(table, event) {
  const heads = [...table.querySelectorAll(".course-lab-head")];
  const [here, last] = [heads.indexOf(event.target), heads.length - 1];
  const to = { ArrowUp: here - 1, ArrowDown: here + 1, Home: 0, End: last }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  const next = heads[Math.min(Math.max(to, 0), last)];
  heads.forEach((head) => (head.tabIndex = head === next ? 0 : -1));
  next.focus();
}

// Where the table is wider than the page, the chosen token is brought into view.
function bringIntoView(scroller) {
  const frame = scroller.getBoundingClientRect();
  const cell = scroller.querySelector("[aria-pressed=true]").getBoundingClientRect();
  if (cell.right > frame.right) scroller.scrollLeft += cell.right - frame.right;
  else if (cell.left < frame.left) scroller.scrollLeft -= frame.left - cell.left;
}

function headRow(body, data, row, tell) {
  const line = add(body, "tr", "background: none;");
  const name = add(line, "th", "text-align: left; padding: 0 10px 0 0; font-weight: normal; white-space: nowrap;");
  name.scope = "row";
  const button = add(name, "button", `${BARE} font: 12px sans-serif;`, row.name);
  button.className = "course-lab-head";
  button.tabIndex = body.rows.length === 1 ? 0 : -1; // one stop; the arrows up and down move within
  for (const kind of ["focus", "mouseenter", "click"]) button.addEventListener(kind, () => tell(inWords(data, row)));
  data.tokens.forEach((sign, s) => {
    const style = `position: relative; padding: 0; height: ${NUMBER_HEIGHT + BAR_HEIGHT}px; min-width: 22px; text-align: center; font: 11px sans-serif; border: ${LINE};`;
    if (s > data.chosen) {
      add(add(line, "td", `${style} background: ${FUTURE};`), "span", HIDDEN, "masked");
      return;
    }
    const weight = row.weights[s];
    const full = `${(BAR_HEIGHT * weight).toFixed(1)}px`;
    const cell = add(line, "td", `${style} background: linear-gradient(to top, ${FILL} ${full}, transparent ${full});`);
    cell.className = "course-lab-weight";
    // Two digits have room above the bar, which never reaches them; a smaller share is read out, and told when one points at it.
    add(cell, "span", weight >= 0.095 ? NUMBER : HIDDEN, `${Math.round(100 * weight)}`);
    cell.title = `${row.name}: ${percent(weight)} of the attention at token ${s}, “${sign}”`;
    cell.addEventListener("mouseenter", () => tell(cell.title));
  });
}

function expectedTable(place, data) {
  place.replaceChildren();
  if (!data.expected.length) return;
  const table = add(place, "table", "border-collapse: collapse; color: inherit; background: none; margin: 0;");
  add(table, "caption", "text-align: left; padding: 0 0 2px; caption-side: top; color: inherit; font: 13px sans-serif;", "expected next, in % (▸: so the text goes on)");
  for (const one of data.expected) {
    const line = add(table, "tr", "background: none;");
    const name = add(line, "th", "font: 15px monospace; white-space: pre; text-align: right; padding: 0 8px 0 0; min-width: 2.5em;", `${one.came ? "▸ " : ""}${one.sign}`);
    name.scope = "row";
    const bar = add(line, "td", "width: 220px; padding: 0; text-align: left;");
    add(bar, "div", `width: ${100 * one.p}%; min-width: 1px; height: 13px; background: #D55E00;`).className = "course-lab-bar";
    add(line, "td", "padding: 0 0 0 8px; text-align: right; font: 12px sans-serif; font-variant-numeric: tabular-nums;", percent(one.p));
  }
}

function stages(place, model, name) {
  const { stages: names } = model.get("data");
  if (names.length < 2) return () => {};
  const group = add(place, "div", "display: flex; flex-wrap: wrap; gap: 4px 18px; margin-bottom: 8px;");
  group.setAttribute("role", "radiogroup");
  group.setAttribute("aria-label", "Which model looks");
  const boxes = names.map((stage) => {
    const label = add(group, "label", "cursor: pointer;");
    const box = add(label, "input", "margin: 0 6px 0 0; vertical-align: middle;");
    Object.assign(box, { type: "radio", name, value: stage });
    add(label, "span", "", stage);
    box.addEventListener("change", () => {
      model.set("stage", stage);
      model.save_changes();
    });
    return box;
  });
  return () => boxes.forEach((box) => (box.checked = box.value === model.get("stage")));
}

function render({ model, el }) {
  const frame = named(el, "div", "course-lab-heads", `position: relative; width: 100%; max-width: 960px; color: ${INK}; font: 13px/1.5 sans-serif;`);
  const { rewrite } = textBox(frame, model, "Type a text:");
  const check = stages(frame, model, unique("stage"));
  const scroller = add(frame, "div", "overflow-x: auto; margin-bottom: 4px;");
  const told = named(frame, "div", "course-lab-told", "min-height: 1.5em; font-variant-numeric: tabular-nums;");
  const expected = named(frame, "div", "course-lab-expected", "min-height: 9em; margin: 6px 0;");
  const status = named(frame, "div", "course-lab-status", "min-height: 3em;");
  status.setAttribute("role", "status");

  const choose = (s) => {
    model.set("chosen", s);
    model.save_changes();
  };
  const tell = (words) => (told.textContent = words);
  keepKeys(frame);
  frame.addEventListener("keydown", (event) => {
    if (event.target.classList.contains("course-lab-head")) moveAmongHeads(scroller, event);
    if (!event.target.classList.contains("course-lab-token")) return;
    const { tokens, chosen } = model.get("data");
    const last = tokens.length - 1;
    const to = { ArrowLeft: chosen - 1, ArrowRight: chosen + 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    choose(Math.min(Math.max(to, 0), last));
  });

  const redraw = () => {
    const data = model.get("data");
    const hadFocus = scroller.contains(document.activeElement) && document.activeElement.classList.contains("course-lab-token");
    const wasAt = scroller.scrollLeft;
    scroller.replaceChildren();
    tell("");
    if (data.tokens.length) {
      const table = add(scroller, "table", "border-collapse: collapse; color: inherit; background: none; margin: 0;");
      table.setAttribute("aria-label", `Attention of token ${data.chosen}, ${data.tokens[data.chosen]}, in %`);
      tokenRow(table, data, choose);
      const body = add(table, "tbody");
      for (const row of data.rows) headRow(body, data, row, tell);
      scroller.scrollLeft = wasAt;
      bringIntoView(scroller);
      if (hadFocus) table.querySelector("[aria-pressed=true]").focus();
    }
    expectedTable(expected, data);
    status.textContent = data.status;
    status.style.borderLeft = data.error ? `4px solid ${CHOSEN}` : "0";
    status.style.paddingLeft = data.error ? "0.8em" : "0";
    check();
  };
  return follow(model, { data: redraw, text: rewrite, stage: check });
}

export default { render };
