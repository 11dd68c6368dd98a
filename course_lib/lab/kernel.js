// Whether the kernel that a widget speaks to is still there. Nothing is sent to find out: a busy kernel is no dead one.

const GONE = "The kernel was restarted or has ended: run this cell again.";
const LOOK_MS = 1000;
const HEARS = ".course-lab-controls, .course-lab-buttons, .course-lab-tray-frame, .course-lab-readout, .course-lab-hears"; // what needs a kernel

// JupyterLab marks the widgets of a kernel that its menu restarted; of one that died, it disposes their comms in silence.
async function isGone(model, id) {
  try {
    const { comm_live, comm } = await model.widget_manager.get_model(id);
    return comm_live === false || comm?.jsServicesComm?.isDisposed === true;
  } catch {
    return false; // a front end that does not tell
  }
}

// Calls `lost` once when the kernel has gone; returns what ends the watch.
function watchKernel(model, id, lost) {
  let timer = null;
  const stop = () => {
    clearInterval(timer);
    model.off("comm_live_update", look);
  };
  const look = async () => {
    if (timer === null || !(await isGone(model, id))) return;
    stop();
    lost();
  };
  timer = setInterval(look, LOOK_MS);
  model.on("comm_live_update", look);
  return stop;
}

// Says so over the lab, or over the chart that stands alone, and turns off what would not be heard.
function announceLoss(frame) {
  const root = frame.closest(".course-lab") ?? frame;
  if (root.querySelector(":scope > .course-lab-gone")) return;
  const banner = document.createElement("div");
  banner.className = "course-lab-gone";
  banner.setAttribute("role", "alert");
  banner.style.cssText = `font: bold 14px/1.5 sans-serif; color: ${INK}; border: 2px solid #D55E00; border-radius: 3px; padding: 6px 12px; margin: 0 2px 8px; flex: none;`;
  banner.textContent = GONE;
  root.prepend(banner);
  // The front end's own sign for this is a letter of a font that JupyterLab does not have.
  add(banner, "style", "", ".course-lab.jupyter-widgets-disconnected::before, .course-lab .jupyter-widgets-disconnected::before { display: none !important; }");
  for (const part of root.querySelectorAll(HEARS)) {
    part.inert = true;
    part.style.opacity = 0.5;
    if (part.matches(".course-lab-readout")) part.style.visibility = "hidden"; // it tells of a run that goes on, or of one to come
    for (const control of part.querySelectorAll("button, input, select")) control.disabled = true;
  }
}
