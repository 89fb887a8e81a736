// Live pictures: the SVG that Python's pure functions draw, with what a picture alone cannot do: tips at once, tabs, a table beside
// it, and a player. `state`: see sight.py. A player either asks Python for another step (`steps`: the past is recorded there, the
// future happens there), or uncovers a picture whose x axis is time (`run`), which needs no kernel.

const SIGHT = `
.p2p-sight{display:flex;flex-wrap:wrap;gap:10px 22px;align-items:flex-start}
.p2p-sight .p2p-drawn{flex:0 1 auto;min-width:0;overflow-x:auto;border-radius:4px}
.p2p-sight .p2p-drawn svg{display:block}
.p2p-sight [data-tip]{cursor:help}
.p2p-sight .p2p-pointed{filter:drop-shadow(0 0 2px var(--p2p-ink))}
.p2p-sight .p2p-message:hover path:not([stroke-opacity="0"]){stroke-width:calc(3px*var(--p2p-scale,1))}
.p2p-sight table{border-collapse:collapse;font-size:.95em;font-variant-numeric:tabular-nums;margin:0}
.p2p-sight th{font-weight:400;color:var(--p2p-soft);text-align:left;padding:1px 12px 4px 0;border-bottom:1px solid var(--p2p-line);background:none}
.p2p-sight td{padding:2px 12px 2px 0;text-align:left;white-space:nowrap;border:0;background:none;color:inherit}
.p2p-sight tr.next td{font-weight:700}
.p2p-sight tr.over td{color:var(--p2p-soft);text-decoration:line-through}
.p2p-widget .p2p-words:empty{display:none}
.p2p-widget .p2p-words{min-height:1.5em;margin:4px 0 0;font-variant-numeric:tabular-nums}
.p2p-widget select{width:auto}
.p2p-widget .p2p-reel{flex:1 1 160px;min-width:110px;max-width:420px}
.p2p-widget .p2p-tip{max-width:560px;overflow-wrap:anywhere}
`;

export default live((ui) => {
  const drawn = make("div", { class: "p2p-drawn", tabindex: 0 }), aside = make("div"), words = make("div", { class: "p2p-words", "aria-live": "polite" });
  const box = make("div", { class: "p2p-sight" }, drawn, aside);
  ui.body.append(make("style", { text: SIGHT }), box, words);
  let state = {}, shown = null, tabs = [], player = null;

  ui.onState((now) => {
    state = now;
    ui.status.textContent = state.status || "";
    if (state.svg !== shown) { shown = state.svg; show(shown); }
    if (state.tabs) tab();
    table(state.table);
    if (state.steps || state.run) player = player || (state.run ? run() : reel());
    if (player) player.follow();
    else words.textContent = state.words || "";
  });

  function show(markup) {  // titles become tips: the browser's own come late, and one covers the whole picture
    drawn.innerHTML = markup;
    const root = drawn.querySelector("svg");
    if (!root) return;
    drawn.setAttribute("aria-label", root.querySelector("title").textContent);
    for (const title of root.querySelectorAll("title")) {
      if (title.parentNode !== root) title.parentNode.dataset.tip = title.textContent;
      title.remove();
    }
    ui.tip(null);
  }

  drawn.addEventListener("pointermove", (event) => {
    const found = event.target.closest("[data-tip]"), frame = ui.body.getBoundingClientRect();
    ui.tip(found ? found.dataset.tip : null, event.clientX - frame.left, event.clientY - frame.top);
  });
  drawn.addEventListener("pointerleave", () => ui.tip(null));
  drawn.addEventListener("blur", () => ui.tip(null));

  let pointed = -1;  // what the arrow keys ↑ and ↓ have come to, of all that has a tip
  function point(step) {
    const all = [...drawn.querySelectorAll("[data-tip]")];
    if (!all.length) return;
    pointed = (pointed + step + all.length) % all.length;
    all[pointed].scrollIntoView({ block: "nearest" });
    const at = all[pointed].getBoundingClientRect(), frame = ui.body.getBoundingClientRect();
    ui.tip(all[pointed].dataset.tip, (at.left + at.right) / 2 - frame.left, at.bottom - frame.top - 10);
    all.forEach((each, i) => each.classList.toggle("p2p-pointed", i === pointed));
  }
  ui.keys(drawn, { ArrowDown: () => point(1), ArrowUp: () => point(-1), Escape: () => { pointed = -1; ui.tip(null); } });

  function tab() {
    if (!tabs.length) tabs = state.tabs.map(([id, label, title]) => [id, ui.button(label, title, () => ui.send({ tab: id }))]);
    for (const [id, node] of tabs) node.setAttribute("aria-pressed", id === state.tab);
  }

  function table(wanted) {
    if (!wanted) return;
    const head = make("tr", {}, ...wanted.head.map((text) => make("th", { text })));
    const rows = wanted.rows.map((cells, i) => make("tr", { class: wanted.kinds[i] || null }, ...cells.map((text) => make("td", { text: String(text) }))));
    aside.replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
  }

  // --- the player: the same buttons and keys for both kinds
  function controls({ first, back, forth, last, toggle, slide }) {
    ui.button("|◀", "to the beginning (Home)", first).setAttribute("aria-label", "to the beginning");
    ui.button("◀", "a step back (←)", back).setAttribute("aria-label", "a step back");
    const play = ui.button("▶ play", "play or pause (space)", toggle);
    ui.button("step ▶", "a step (→)", forth);
    const slider = make("input", { type: "range", class: "p2p-reel", "aria-label": "position", min: 0, step: "any" });
    slider.addEventListener("input", () => slide(Number(slider.value)));
    const speed = make("select", { title: "speed", "aria-label": "speed" }, ...[0.25, 0.5, 1, 2, 4].map((factor) => make("option", { value: factor, text: `${factor}×`, selected: factor === 1 })));
    speed.addEventListener("keydown", (event) => event.stopPropagation());
    ui.tools.append(slider, speed);
    const table = { " ": toggle, ArrowRight: forth, ArrowLeft: back, Home: first, End: last };
    ui.keys(drawn, table);
    ui.keys(slider, table);
    return { play, slider, speed: () => Number(speed.value) };
  }

  function playing(node, on) {
    node.textContent = on ? "❙❙ pause" : "▶ play";
    node.setAttribute("aria-pressed", on);
  }

  // Steps that Python keeps, and makes: {at, of, more, words, serial}; serial counts its answers
  function reel() {
    let going = false, timer = 0, asked = false, serial = state.steps.serial;
    const ask = (at) => { if (!asked) { asked = true; ui.send({ at }); } };
    const halt = () => { going = false; clearTimeout(timer); playing(parts.play, false); };
    const forth = () => { if (state.steps.at < state.steps.of || state.steps.more) ask(state.steps.at + 1); else halt(); };
    const parts = controls({
      first: () => { halt(); ask(0); },
      back: () => { halt(); ask(Math.max(0, state.steps.at - 1)); },
      forth: () => { halt(); forth(); },
      last: () => { halt(); ask(state.steps.of); },
      toggle: () => { if (going) halt(); else { going = true; playing(parts.play, true); forth(); } },
      slide: (value) => { halt(); if (Math.round(value) !== state.steps.at) ask(Math.round(value)); },
    });
    parts.slider.step = 1;
    ui.undo.push(() => clearTimeout(timer));
    return {
      follow() {
        const { at, of, more } = state.steps, answered = serial !== state.steps.serial;
        serial = state.steps.serial;
        if (answered) asked = false;
        parts.slider.max = of;
        if (!asked) parts.slider.value = at;
        words.textContent = state.steps.words;
        if (going && answered) {
          if (at < of || more) timer = setTimeout(forth, 800 / parts.speed());
          else halt();
        }
      },
    };
  }

  // A picture that time uncovers: {events: [[ms, words], …], left, right, end}
  function run() {
    let at = Infinity, going = false, before = 0;
    const end = () => state.run.end;
    const parts = controls({
      first: () => { going = false; go(0); },
      back: () => { going = false; go(Math.max(0, ...state.run.events.map(([ms]) => ms).filter((ms) => ms < Math.min(at, end()) - 1e-9))); },
      forth: () => { going = false; go(Math.min(end(), ...state.run.events.map(([ms]) => ms).filter((ms) => ms > at + 1e-9))); },
      last: () => { going = false; go(end()); },
      toggle: () => { going = !going; if (going && at >= end()) at = 0; before = 0; go(at); },
      slide: (value) => { going = false; go(value); },
    });
    parts.slider.max = end();
    const clip = `p2p-clip-${ui.id}`;

    function go(to) {
      at = to;
      playing(parts.play, going);
      ui.redraw();
    }

    function cover() {
      const group = drawn.querySelector(".p2p-run");
      if (!group) return;
      const make = (tag) => group.ownerSVGElement.appendChild(document.createElementNS("http://www.w3.org/2000/svg", tag));
      if (!group.hasAttribute("clip-path")) {
        const path = make("clipPath");
        path.id = clip;
        path.append(make("rect"));
        group.setAttribute("clip-path", `url(#${clip})`);
        const head = make("path");
        head.setAttribute("class", "p2p-head");
        head.setAttribute("stroke", COLOURS.vermillion);
        head.setAttribute("stroke-width", "1.2");
      }
      const { left, right } = state.run, done = at >= end(), { width, height } = group.ownerSVGElement.viewBox.baseVal;
      const x = left + (right - left) * Math.min(1, at / (end() || 1));
      const rect = drawn.querySelector(`#${clip} rect`);
      for (const [name, value] of Object.entries({ x: 0, y: 0, width: done ? width : x + 1, height })) rect.setAttribute(name, value);
      drawn.querySelector(".p2p-head").setAttribute("d", done ? "" : `M${x} ${state.run.top}V${state.run.bottom}`);
      parts.slider.value = Math.min(at, end());
      const past = state.run.events.filter(([ms]) => ms <= at + 1e-9);
      words.textContent = done ? state.run.summary : past.length ? past[past.length - 1][1] : "Nobody has been asked yet.";
    }

    ui.drawRun = (now) => {
      if (going) {
        if (before) at = Math.min(end(), at + (now - before) / 4000 * end() * parts.speed());
        before = now;
        if (at >= end()) { going = false; playing(parts.play, false); }
      }
      cover();
      return going;
    };
    return { follow: () => ui.redraw() };
  }

  return { draw: (now) => (ui.drawRun ? ui.drawRun(now) : false) };
});
