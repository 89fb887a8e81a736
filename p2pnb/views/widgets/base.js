// The browser's half of every live widget; `script` in base.py puts it, and the constants THEME, COLOURS, FONT and MONO, in front of
// a widget's own code, which exports `live((ui) => { …; return { draw, stop } })`.
//
// `live` makes the frame (title, status, toolbar, body, message line), and tells Python when a view appears and goes. It greys the
// widget out when no beat came for three seconds: the kernel, or the cluster's thread, is gone. State arrives as the trait `state`;
// nothing is ever set here, what there is to say goes by `ui.send`. Drawing happens in animation frames only, and only when asked
// for by `ui.redraw()`: `draw(now)` returns true to be called again for the next frame.

const SILENCE = 3500;  // milliseconds without a beat

const STYLE = `${THEME}
.p2p-widget{position:relative;box-sizing:border-box;max-width:1180px;margin:2px 0;padding:10px 14px 8px;border:1px solid var(--p2p-faint);
  border-radius:6px;background:var(--p2p-paper);color:var(--p2p-ink);font:calc(13px*var(--p2p-scale,1))/1.4 ${FONT}}
.p2p-widget *{box-sizing:border-box}
.p2p-widget header{display:flex;flex-wrap:wrap;align-items:baseline;gap:2px 12px}
.p2p-widget header b{font-size:1.15em;font-weight:600}
.p2p-widget .p2p-status{color:var(--p2p-soft);font-variant-numeric:tabular-nums}
.p2p-widget .p2p-tools{display:flex;flex-wrap:wrap;align-items:center;gap:6px 20px;margin:8px 0 6px}
.p2p-widget .p2p-tools>span{display:inline-flex;flex-wrap:wrap;align-items:center;gap:6px}
.p2p-widget .p2p-tools:empty{display:none}
.p2p-widget button,.p2p-widget input,.p2p-widget select{font:inherit;color:inherit;background:transparent;border:1px solid var(--p2p-line);border-radius:4px;
  padding:1px 9px;min-height:calc(26px*var(--p2p-scale,1));margin:0}
.p2p-widget button{cursor:pointer;white-space:nowrap}
.p2p-widget button:hover:not(:disabled){border-color:var(--p2p-soft);background:color-mix(in srgb,var(--p2p-ink) 7%,transparent)}
.p2p-widget button[aria-pressed=true]{background:color-mix(in srgb,${COLOURS.blue} 22%,transparent);border-color:${COLOURS.blue}}
.p2p-widget button:disabled{opacity:.4;cursor:default}
.p2p-widget input[type=range]{padding:0;border:0;min-height:0;accent-color:${COLOURS.blue};vertical-align:middle}
.p2p-widget input::placeholder{color:var(--p2p-soft);opacity:1}
.p2p-widget :focus-visible{outline:2px solid ${COLOURS.blue};outline-offset:1px}
.p2p-widget label{display:inline-flex;align-items:center;gap:6px;color:var(--p2p-soft)}
.p2p-widget canvas{display:block;width:100%;touch-action:pan-y;border-radius:4px}
.p2p-widget .p2p-mono{font-family:${MONO};font-size:.93em}
.p2p-widget .p2p-soft{color:var(--p2p-soft)}
.p2p-widget .p2p-legend{display:flex;flex-wrap:wrap;gap:2px 18px;margin:6px 0 0;color:var(--p2p-soft);font-size:.93em}
.p2p-widget .p2p-legend svg{width:1.15em;height:1.15em;vertical-align:-.18em;margin-right:.4em}
.p2p-widget option{background:var(--p2p-paper);color:var(--p2p-ink)}
.p2p-widget.p2p-dark .p2p-legend [fill="${COLOURS.blue}"]{fill:${COLOURS.dark_blue}}
.p2p-widget.p2p-dark .p2p-legend [stroke="${COLOURS.blue}"]{stroke:${COLOURS.dark_blue}}
.p2p-widget .p2p-said{color:var(--p2p-ink);margin:6px 0 0;padding:3px 9px;border-left:3px solid ${COLOURS.vermillion};
  background:color-mix(in srgb,${COLOURS.vermillion} 10%,transparent);border-radius:2px}
.p2p-widget .p2p-said:empty{display:none}
.p2p-widget .p2p-tip{position:absolute;z-index:5;pointer-events:none;max-width:340px;padding:5px 9px;border:1px solid var(--p2p-line);border-radius:4px;
  background:var(--p2p-paper);box-shadow:0 2px 8px rgba(0,0,0,.22);font-variant-numeric:tabular-nums;white-space:pre-line}
.p2p-widget .p2p-tip[hidden],.p2p-widget .p2p-gone[hidden]{display:none}
.p2p-widget .p2p-gone{position:absolute;left:0;right:0;top:0;z-index:6;padding:7px 14px;border-radius:5px 5px 0 0;
  background:linear-gradient(var(--p2p-ink),var(--p2p-ink)) var(--p2p-paper);color:var(--p2p-paper);
  text-align:center}
.p2p-widget.p2p-silent>:not(.p2p-gone):not(style){filter:grayscale(1) opacity(.38);pointer-events:none}
`;

// "1 bit", "2 bits", "1,024 bits"
function counted(number, what) {
  return `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;
}

// An element: make("div", {class: "x", text: "y", title: "z"}, child, …)
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") node.textContent = value;
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

// The marks of views/svg.py, on a canvas and as markup for legends: disc, ring, square, box, cross, diamond, triangle, star.
const CORNERS = {
  diamond: [[0, -1.25], [1.25, 0], [0, 1.25], [-1.25, 0]],
  triangle: [[0, -1.2], [1.15, 0.9], [-1.15, 0.9]],
  star: [[0, -1.6], [0.39, -0.53], [1.52, -0.49], [0.63, 0.2], [0.94, 1.29], [0, 0.66], [-0.94, 1.29], [-0.63, 0.2], [-1.52, -0.49], [-0.39, -0.53]],
};

let dark = false;  // the page's ground; on a dark one the blue is too dark for a thin line
const seen = (colour) => (dark && colour === COLOURS.blue ? COLOURS.dark_blue : colour);

function mark(ctx, shape, x, y, r, colour, paper = null) {
  ctx.beginPath();
  ctx.fillStyle = ctx.strokeStyle = seen(colour);
  if (shape === "cross") {
    ctx.moveTo(x - r, y - r); ctx.lineTo(x + r, y + r); ctx.moveTo(x + r, y - r); ctx.lineTo(x - r, y + r);
    ctx.lineWidth = Math.max(1, r / 2);
    ctx.stroke();
    return;
  }
  if (shape === "disc" || shape === "ring") ctx.arc(x, y, r, 0, 2 * Math.PI);
  else if (shape === "square" || shape === "box") ctx.roundRect(x - r, y - r, 2 * r, 2 * r, r / 4);
  else { for (const [dx, dy] of CORNERS[shape]) ctx.lineTo(x + r * dx, y + r * dy); ctx.closePath(); }
  if (shape === "ring" || shape === "box") {
    if (paper !== null) { ctx.fillStyle = paper; ctx.fill(); }
    ctx.lineWidth = Math.max(1, r / 2.5);
    ctx.stroke();
  } else ctx.fill();
}

function legend(entries) {  // of [shape, colour, meaning]; a plain string stands before those that follow
  const drawn = { disc: '<circle cx="7" cy="7" r="4.5" fill="C"/>', ring: '<circle cx="7" cy="7" r="4" fill="none" stroke="C" stroke-width="1.8"/>',
    square: '<rect x="2.5" y="2.5" width="9" height="9" rx="1" fill="C"/>', box: '<rect x="3" y="3" width="8" height="8" rx="1" fill="none" stroke="C" stroke-width="1.5"/>',
    cross: '<path d="M3 3l8 8M11 3l-8 8" stroke="C" stroke-width="2" fill="none"/>', line: '<path d="M0 7h14" stroke="C" stroke-width="2" fill="none"/>',
    dash: '<path d="M0 7h14" stroke="C" stroke-width="2" stroke-dasharray="4 2" fill="none"/>' };
  const node = make("div", { class: "p2p-legend" });
  for (const each of entries) {
    if (typeof each === "string") { node.append(make("span", { text: each })); continue; }
    const [shape, colour, meaning] = each;
    const points = CORNERS[shape] && CORNERS[shape].map(([x, y]) => `${7 + 4.5 * x},${7 + 4.5 * y}`).join(" ");
    const inner = points ? `<polygon points="${points}" fill="C"/>` : drawn[shape];
    const entry = make("span", { text: meaning });
    entry.insertAdjacentHTML("afterbegin", `<svg width="14" height="14" viewBox="0 0 14 14" aria-hidden="true">${inner.replaceAll("C", colour)}</svg>`);
    node.append(entry);
  }
  return node;
}

// Numbers that came as bytes: numbers(state.x, Float32Array)
function numbers(view, kind) {
  return view ? new kind(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength)) : new kind(0);
}

class Ui {
  constructor(model, el) {
    this.model = model;
    this.undo = [];  // what to call when the view goes
    this.id = Math.random().toString(36).slice(2);
    this.root = make("div", { class: "p2p-widget", role: "group", "aria-label": model.get("title") });
    this.status = make("span", { class: "p2p-status" });
    this.tools = make("div", { class: "p2p-tools", role: "toolbar" });
    this.body = make("div", { class: "p2p-body" });
    this.said = make("div", { class: "p2p-said", role: "status", "aria-live": "polite" });
    this.tooltip = make("div", { class: "p2p-tip", hidden: true });
    this.gone = make("div", { class: "p2p-gone", role: "status", hidden: true });
    const header = make("header", {}, make("b", { text: model.get("title") }), this.status);
    const token = model.get("token"), hide = `.jp-OutputArea-child:has([data-p2p="${token}"]),[data-p2p="${token}"]{display:none}`;
    this.root.append(make("style", { text: STYLE + hide }), header, this.tools, this.body, this.said, this.tooltip, this.gone);
    this.scale = model.get("scale") || 1;
    this.root.style.setProperty("--p2p-scale", this.scale);
    el.append(this.root);
    this.theme = { paper: "#fff", ink: "#1f2328", soft: "#59636e", line: "#b6bdc6", faint: "#dde1e6", dark: false, font: "sans-serif", mono: "monospace" };
    this.retheme();
    this.watch();
  }

  // --- the theme: what the style sheet says, as colours that a canvas understands; read again when it changes
  retheme() {
    if (!this.root.isConnected) return;  // nothing has a style yet; it will when it appears
    const probe = make("span");
    this.root.append(probe);
    for (const name of ["paper", "ink", "soft", "line", "faint"]) {
      probe.style.color = `var(--p2p-${name})`;
      this.theme[name] = getComputedStyle(probe).color;
    }
    probe.style.fontFamily = MONO;
    this.theme.mono = getComputedStyle(probe).fontFamily;
    probe.remove();
    const [r, g, b] = this.theme.paper.match(/[\d.]+/g).map(Number);
    this.theme.dark = dark = 0.3 * r + 0.6 * g + 0.1 * b < 128;
    this.root.classList.toggle("p2p-dark", dark);
    this.theme.font = getComputedStyle(this.root).fontFamily;
    this.styled = true;
    if (this.onretheme) this.onretheme();
    this.redraw();
  }

  watch() {
    const later = () => setTimeout(() => this.root.isConnected && this.retheme(), 60);
    const observer = new MutationObserver(later);
    observer.observe(document.body, { attributes: true, attributeFilter: ["class", "data-jp-theme-name", "data-jp-theme-light"] });
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", later);
    const appeared = new IntersectionObserver(() => this.retheme());  // a view is made before it is in the page
    appeared.observe(this.root);
    const guard = (event) => this.guard(event);
    window.addEventListener("keydown", guard, true);
    this.undo.push(() => window.removeEventListener("keydown", guard, true));
    this.undo.push(() => observer.disconnect(), () => dark.removeEventListener("change", later), () => appeared.disconnect());
  }

  guard(event) {  // plain keys pressed here are no shortcuts of JupyterLab's, where "b" adds a cell and an arrow leaves this one
    if (!this.root.contains(event.target)) return;
    const theirs = event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key === "Enter");
    event.target.toggleAttribute("data-lm-suppress-shortcuts", !theirs);
  }

  // --- what a widget uses
  send(news) {
    if (this.isSilent || this.isOver) return;
    try { this.model.send(news); } catch (error) { console.debug(error); }  // there is no kernel any more
  }

  onState(tell) {  // called now, and with each change
    const told = () => { tell(this.model.get("state")); this.redraw(); };
    this.model.on("change:state", told);
    told();
  }

  onNews(tell) { this.model.on("msg:custom", (news, buffers) => { if (!news.beat && !news.over) tell(news, buffers); }); }

  redraw() {
    if (this.frame || !this.draw) return;
    this.frame = requestAnimationFrame((now) => {
      this.frame = 0;
      if (!this.root.isConnected) return;
      if (!this.styled) this.retheme();  // drawn before anything told that it has appeared
      if (this.draw(now)) this.redraw();
    });
  }

  canvas(height, label) {  // {node, ctx, w, h}: as wide as the widget, w and h in CSS pixels; focusable
    const node = make("canvas", { tabindex: 0, role: "img", "aria-label": label });
    this.body.append(node);
    const made = { node, ctx: node.getContext("2d"), w: 0, h: height };
    made.resize = (wanted = made.h) => {
      const ratio = window.devicePixelRatio || 1, width = node.clientWidth || 800;
      if (made.w === width && made.h === wanted && made.ratio === ratio && node.height) return;
      Object.assign(made, { w: width, h: wanted, ratio });
      node.style.height = `${wanted}px`;
      node.width = Math.round(width * ratio);
      node.height = Math.round(wanted * ratio);
      if (made.onresize) made.onresize();
      this.redraw();
    };
    made.clear = () => {  // the beginning of each drawing
      made.resize();
      made.ctx.setTransform(made.ratio, 0, 0, made.ratio, 0, 0);
      made.ctx.clearRect(0, 0, made.w, made.h);
    };
    const observer = new ResizeObserver(() => made.resize());
    observer.observe(node);
    this.undo.push(() => observer.disconnect());
    made.resize();
    return made;
  }

  group() { this.tools.append(this.tool = make("span")); }  // what follows in the toolbar belongs together

  add(node) {  // to the toolbar
    if (!this.tool) this.group();
    this.tool.append(node);
    return node;
  }

  button(text, title, press) {
    const node = make("button", { type: "button", text, title });
    node.addEventListener("click", press);
    return this.add(node);
  }

  field(label, attributes, change) {  // an input with a label; change(value) on Enter and on leaving it
    const node = make("input", attributes);
    node.addEventListener("change", () => change(node.value));
    this.add(make("label", {}, label, node));
    return node;
  }

  keys(node, table) {  // table: key -> function; a handled key goes no further
    node.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !table[event.key]) return;
      event.preventDefault();
      event.stopPropagation();
      table[event.key](event);
    });
  }

  tip(text, x, y) {  // x, y inside the body; null hides it
    this.tooltip.hidden = text === null;
    if (text === null) return;
    this.tooltip.textContent = text;
    const width = this.tooltip.offsetWidth, left = this.body.offsetLeft + x + 14, top = this.body.offsetTop + y + 14;
    this.tooltip.style.left = `${left + width > this.root.clientWidth - 8 ? Math.max(4, left - width - 28) : left}px`;
    this.tooltip.style.top = `${top}px`;
  }

  text(ctx, content, x, y, { colour = this.theme.ink, size = 12, align = "left", weight = 400, halo = false, family = this.theme.font } = {}) {
    ctx.font = `${weight} ${size * this.scale}px ${family}`;
    ctx.textAlign = align;
    ctx.textBaseline = "alphabetic";
    if (halo) { ctx.lineJoin = "round"; ctx.lineWidth = 3; ctx.strokeStyle = this.theme.paper; ctx.strokeText(content, x, y); }
    ctx.fillStyle = colour;
    ctx.fillText(content, x, y);
  }

  // --- whether it lives
  live() {
    const said = () => { this.said.textContent = this.model.get("said"); };
    this.model.on("change:said", said);
    said();
    if (!this.model.get("beats")) return;
    let last = performance.now();
    this.model.on("msg:custom", (news) => { if (news.beat) { last = performance.now(); this.silent(false); } });
    const timer = setInterval(() => { if (performance.now() - last > SILENCE) this.silent(true); }, 500);
    this.undo.push(() => clearInterval(timer));
    this.model.on("msg:custom", (news) => { if (news.over) this.isOver = true; });  // it is closed: the views go without a word
    this.send({ view: this.id, here: true });
    this.undo.push(() => this.send({ view: this.id, here: false }));
  }

  silent(silent) {
    if (silent === !!this.isSilent) return;
    this.isSilent = silent;
    this.root.classList.toggle("p2p-silent", silent);
    this.gone.hidden = !silent;
    this.gone.textContent = silent ? "Not live any more: its kernel is gone or does not answer. Run the cell again." : "";
    this.tip(null);
  }
}

function live(begin) {
  return {
    render({ model, el }) {
      if (model.get("still")) { el.innerHTML = model.get("still"); return undefined; }
      const ui = new Ui(model, el);
      model.on("change:still", () => { el.innerHTML = model.get("still"); });  // closed, and this view is not one that is replaced
      const made = begin(ui) || {};
      ui.draw = made.draw;
      ui.live();
      ui.redraw();
      return () => {
        cancelAnimationFrame(ui.frame);
        for (const undo of ui.undo) try { undo(); } catch (error) { console.debug(error); }
        if (made.stop) made.stop();
      };
    },
  };
}
