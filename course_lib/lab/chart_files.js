// The chart as files: a picture, and its numbers.

function saveAs(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

// All rows that the page has, named and counted as in metrics.jsonl.
function asCsv(curves) {
  const lines = ["run,step,train_loss,val_loss,lr,grad_norm,tokens,seconds"];
  for (const { label, rows } of curves)
    for (const row of rows)
      lines.push([quoted(label || "run"), row[STEP], row[LOSS], row[VAL], row[LR], row[NORM], row[TOKENS], row[SECONDS]].map((v) => v ?? "").join(","));
  return `${lines.join("\n")}\n`;
}

// A copy of the drawing's sheets, as one, that stands by itself: with the colors of this page written into it, a ground, and who is who.
function standalone(sheets, curves, view) {
  const [svg] = sheets;
  const copies = sheets.map((sheet) => sheet.cloneNode(true));
  const [copy] = copies;
  const nodes = (roots) => roots.flatMap((root) => [root, ...root.querySelectorAll("*")]);
  const [from, to] = [nodes(sheets), nodes(copies)];
  from.forEach((node, i) => {
    const look = getComputedStyle(node);
    for (const name of ["fill", "stroke", "opacity", "font"]) to[i].style.setProperty(name, look.getPropertyValue(name));
  });
  const [width, height] = [Number(svg.getAttribute("width")), Number(svg.getAttribute("height"))];
  const probe = add(svg.parentElement, "i", `color: ${PAPER};`);
  const paper = getComputedStyle(probe).color;
  probe.remove();
  const whole = height + 18 * curves.length + 8;
  copy.setAttribute("height", whole);
  copy.setAttribute("xmlns", NS);
  for (const other of copies.slice(1)) copy.append(...other.children);
  const ground = make(copy, "rect", { width, height: whole, fill: paper });
  copy.prepend(ground);
  curves.forEach((curve, i) => {
    const y = height + 10 + 18 * i;
    make(copy, "line", { x1: 16, x2: 52, y1: y, y2: y, stroke: curve.color, "stroke-width": 2, "stroke-dasharray": curve.dash });
    make(copy, "path", { d: curve.marker, fill: curve.val_color, transform: `translate(34 ${y})` });
    make(copy, "text", { x: 60, y: y + 4, fill: getComputedStyle(svg).fill }, pictureWords(curve, view));
  });
  return { text: new XMLSerializer().serializeToString(copy), width, height: whole };
}

// Who is who under a picture, as short as a narrow one needs it.
function pictureWords(curve, view) {
  const numbers = numbersAt(curve, null, view);
  const parts = [["line: training", numbers?.train], ["marks: validation", numbers?.val]].filter(([, loss]) => loss != null);
  return `${curve.label || "the run"} (${parts.map(([name, loss]) => `${name} ${lossText(loss)}`).join(", ")})`;
}

function savePng(sheets, curves, view) {
  const { text, width, height } = standalone(sheets, curves, view);
  const image = new Image();
  image.onload = () => {
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width: 2 * width, height: 2 * height });
    const context = canvas.getContext("2d");
    context.scale(2, 2);
    context.drawImage(image, 0, 0);
    canvas.toBlob((blob) => saveAs("loss.png", blob), "image/png");
  };
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
}
