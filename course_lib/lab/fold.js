// A button that opens and closes the fold it stands in: by mouse, and by Enter or the space bar.

const STYLE = ".course-lab-fold.course-lab-open > .course-lab-fold-body { display: flex !important; }";

function render({ model, el }) {
  add(el, "style", "", STYLE);
  const button = named(el, "button", "course-lab-fold-button", `${BUTTON} width: 100%; text-align: left;`);
  button.type = "button";
  keepKeys(button);
  const show = () => {
    const isOpen = model.get("is_open");
    button.textContent = `${isOpen ? "▾" : "▸"} ${model.get("label")}`;
    button.setAttribute("aria-expanded", String(isOpen));
    button.closest(".course-lab-fold")?.classList.toggle("course-lab-open", isOpen);
  };
  button.addEventListener("click", () => {
    model.set("is_open", !model.get("is_open"));
    model.save_changes();
    show();
  });
  requestAnimationFrame(show); // the fold around it is there by then
  return follow(model, { is_open: show });
}

export default { render };
