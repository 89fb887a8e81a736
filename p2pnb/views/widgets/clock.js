// Simulated time, on a virtual network: buttons that let it pass, one step, or step after step.

const STEPS = [[1, "1 s"], [10, "10 s"], [60, "1 min"], [600, "10 min"], [3600, "1 h"]];
const PAUSE = 150;  // ms between two steps, at least

// Puts them into the toolbar. Returns what is to be called when time has moved; null where it passes by itself.
function simulated(ui, act) {
  if (ui.model.get("state").time === null) return null;
  let playing = false, asked = 0, timer = 0;
  ui.group();
  const span = make("select", { title: "Simulated time of a step", "aria-label": "simulated time of a step" });
  for (const [seconds, text] of STEPS) span.append(make("option", { value: seconds, text, selected: seconds === 60 }));
  const go = () => { asked = performance.now(); act("advance", { seconds: Number(span.value) }); };
  const play = ui.button("▶ play", "Let simulated time pass, step after step", () => {
    playing = !playing;
    play.textContent = playing ? "❚❚ pause" : "▶ play";
    play.setAttribute("aria-pressed", playing);
    if (playing) go();
  });
  ui.button("step", "Let so much simulated time pass", go);
  ui.add(span);
  ui.undo.push(() => clearTimeout(timer));
  ui.model.on("change:said", () => { if (playing && ui.model.get("said")) play.click(); });
  return () => {
    clearTimeout(timer);
    if (playing) timer = setTimeout(go, Math.max(0, PAUSE - (performance.now() - asked)));
  };
}

function lasting(seconds) {  // "3.5 min"
  const [unit, size] = [["h", 3600], ["min", 60], ["s", 1]].find(([, size]) => seconds >= size) || ["s", 1];
  return `${(seconds / size).toFixed(seconds / size < 10 ? 1 : 0)} ${unit}`;
}
