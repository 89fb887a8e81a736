// cluster.map(): the trie of all nodes. See map.py for what `ground` and `state` hold, and replay.py for a replay.
// Two layers: the still one (tree, marks, names) is drawn when something changes, the moving one (requests) in each frame.

const INK = "var(--p2p-ink)";

export default live((ui) => {
  const { blue, orange, green, vermillion, purple, sky, grey } = COLOURS, s = ui.scale;
  const view = ui.canvas(300, "The nodes of the cluster as leaves of a binary trie; arrow keys go from leaf to leaf, Enter selects");
  const still = document.createElement("canvas"), paper = still.getContext("2d");
  let ground = null, state = null, stale = true, zoom = 1, pan = 0, over = -1, drag = null;
  let pulses = [], rates = [];

  // --- where things stand, in CSS pixels
  const left = 44 * s, top = 14 * s;
  const right = () => view.w - 10;
  const X = (x) => left + (x - pan) * zoom * (right() - left);
  const Y = (level) => top + level * step();
  const step = () => Math.min(30 * s, (340 * s) / Math.max(1, ground.levels.length - 1));
  const spacing = () => ((right() - left) * zoom) / Math.max(1, ground.n);
  const radius = () => Math.max(1.5, Math.min(6.5 * s, spacing() * 0.38));
  const upright = () => spacing() >= 12 * s && spacing() < 66 * s;  // names hang below their leaves
  const at = (node) => [X(ground.x[node]), Y(ground.level[node])];
  const id = (node, digits = 4) => ground.ids.slice(4 * node, 4 * node + 4).reduce((text, byte) => text + byte.toString(16).padStart(2, "0"), "").slice(0, digits);
  const name = (node) => `#${node} · ${id(node)}`;
  const alive = (node) => state.flags[node] & 1;

  function resize() {
    const names = upright() ? 62 * s : 22 * s;
    view.resize(Math.round(Y(ground.levels.length - 1) + names + 44 * s));
  }

  // --- news from Python
  function lay() {
    const got = ui.model.get("ground");
    ground = { ...got, x: numbers(got.x, Float32Array), level: numbers(got.level, Float32Array), branches: numbers(got.branches, Float32Array),
      ids: numbers(got.ids, Uint8Array), ports: numbers(got.ports, Uint16Array) };
    ground.order = [...ground.x.keys()].sort((a, b) => ground.x[a] - ground.x[b]);
    over = -1;
    resize();
    stale = true;
    ui.redraw();
  }
  ui.model.on("change:ground", lay);
  lay();

  // --- the still layer
  function drawStill() {
    const ratio = view.ratio;
    still.width = view.node.width;
    still.height = view.node.height;
    paper.setTransform(ratio, 0, 0, ratio, 0, 0);
    const every = Math.ceil((16 * s) / step()), { line, faint, soft } = ui.theme;
    paper.strokeStyle = faint;
    paper.lineWidth = 1;
    paper.globalAlpha = 0.8;
    for (let level = 0; level < ground.levels.length; level += every) {
      paper.beginPath();
      paper.moveTo(left, Y(level)); paper.lineTo(right(), Y(level));
      paper.stroke();
      ui.text(paper, String(ground.levels[level]), left - 9 * s, Y(level) + 4 * s, { colour: soft, size: 11, align: "right" });
    }
    paper.globalAlpha = 1;
    paper.save();
    paper.translate(11 * s, (Y(0) + Y(ground.levels.length - 1)) / 2);
    paper.rotate(-Math.PI / 2);
    ui.text(paper, "bits shared", 0, 0, { colour: soft, size: 11, align: "center" });
    paper.restore();
    paper.save();
    paper.beginPath();
    paper.rect(left - 8 * s, 0, right() - left + 16 * s, view.h);
    paper.clip();
    branches(line);
    table();
    marks();
    names();
    paper.restore();
    stale = false;
  }

  function branches(colour) {
    const ends = ground.branches, count = ends.length / 4, key = ground.key;
    paper.strokeStyle = colour;
    paper.lineWidth = s * Math.max(0.7, Math.min(1.4, spacing() / 12));
    paper.beginPath();
    for (let i = 0; i < count - (key ? 1 : 0); i++) {
      paper.moveTo(X(ends[4 * i]), Y(ends[4 * i + 1])); paper.lineTo(X(ends[4 * i + 2]), Y(ends[4 * i + 3]));
    }
    paper.stroke();
    for (let i = 0; i < count; i++) {  // the bits of the uppermost branches
      const x1 = X(ends[4 * i]), x2 = X(ends[4 * i + 2]);
      if (Math.abs(x2 - x1) < 40 || ends[4 * i + 3] > 3) continue;
      const bit = x2 < x1 ? "0" : "1";
      ui.text(paper, bit, (x1 + x2) / 2 + (x2 < x1 ? -8 : 8), (Y(ends[4 * i + 1]) + Y(ends[4 * i + 3])) / 2 - 2, { colour: ui.theme.soft, size: 11, align: "center", halo: true });
    }
    if (!key) return;
    const i = count - 1;
    paper.strokeStyle = purple;
    paper.lineWidth = 1.6 * s;
    paper.setLineDash([4, 3]);
    paper.beginPath();
    if (count) { paper.moveTo(X(ends[4 * i]), Y(ends[4 * i + 1])); paper.lineTo(X(key.x), Y(key.level)); }
    if (spacing() < 9) paper.lineTo(X(key.x), view.h - 20 * s);
    paper.stroke();
    paper.setLineDash([]);
    const y = spacing() < 9 ? view.h - 20 * s : Y(key.level);
    mark(paper, "diamond", X(key.x), y, Math.max(4.5 * s, radius()), purple);
    if (!upright()) return void ui.text(paper, `key ${key.id}`, X(key.x) + 9 * s, y + 4 * s, { halo: true, size: 11 });
    hang(paper, `key ${key.id.slice(0, 4)}`, X(key.x), y + radius() + 6 * s, { size: nameSize(), weight: 600, colour: purple });
  }

  function table() {  // an arc to each contact of the selected node
    if (state.selected === null) return;
    paper.strokeStyle = sky;
    paper.lineWidth = 1.3 * s;
    paper.globalAlpha = 0.75;
    paper.beginPath();
    for (const peer of state.table) if (peer < ground.n) {
      const [x1, y1, cx, cy, x2, y2] = arc(state.selected, peer);
      paper.moveTo(x1, y1); paper.quadraticCurveTo(cx, cy, x2, y2);
    }
    paper.stroke();
    paper.globalAlpha = 1;
  }

  function arc(one, other) {  // from leaf to leaf, below the tree
    const [x1, y1] = at(one), [x2, y2] = at(other);
    return [x1, y1, (x1 + x2) / 2, Math.max(y1, y2) + (14 + 90 * Math.min(1, Math.abs(x2 - x1) / (right() - left)) ** 0.6) * s, x2, y2];
  }

  function kind(node) {  // shape, colour, radius
    const flag = state.flags[node], r = radius();
    if (!(flag & 1)) return flag & 4 ? ["cross", vermillion, Math.max(3.5 * s, r * 0.8)] : ["cross", grey, Math.max(2, r * 0.8)];
    if (flag & 4) return ["disc", vermillion, Math.max(4.5 * s, r)];
    if (flag & 2) return ["triangle", orange, Math.max(2.5, r * 0.95)];
    return [r > 3 ? "ring" : "disc", blue, r];
  }

  function marks() {
    const special = [];
    for (let node = 0; node < ground.n; node++) {
      const x = X(ground.x[node]);
      if (x < left - 10 || x > right() + 10) continue;
      if (node === state.selected || state.flags[node] & 4) { special.push(node); continue; }
      const [shape, colour, r] = kind(node);
      mark(paper, shape, x, Y(ground.level[node]), r, colour, ui.theme.paper);
    }
    for (const node of special) {
      const [shape, colour, r] = kind(node);
      mark(paper, shape, ...at(node), r, colour, ui.theme.paper);
      if (node === state.selected) mark(paper, "box", ...at(node), Math.max(7 * s, r + 3.5 * s), green);
    }
  }

  function names() {
    const wide = spacing() >= 66 * s;
    for (let node = 0; node < ground.n; node++) {
      const chosen = node === state.selected || state.flags[node] & 4;
      if (!wide && !upright() && !chosen) continue;
      label(paper, node, wide || !upright());
    }
  }

  function label(ctx, node, flat, weight = node === state.selected ? 600 : 400) {
    const [x, y] = at(node), colour = alive(node) ? ui.theme.ink : ui.theme.soft;
    if (x < left - 10 || x > right() + 10) return;
    if (flat) return void ui.text(ctx, name(node), x, y + radius() + 14 * s, { align: "center", size: 11, colour, weight, halo: true });
    hang(ctx, name(node), x, y + radius() + (node === state.selected ? 9 : 5) * s, { size: nameSize(), colour, weight });
  }

  const nameSize = () => Math.min(11, (spacing() / s) * 0.78);

  function hang(ctx, text, x, y, how) {  // reads downwards
    ctx.save();
    ctx.translate(x, y);
    ctx.rotate(Math.PI / 2);
    ui.text(ctx, text, 0, 0.36 * how.size * s, { ...how, halo: true });
    ctx.restore();
  }

  // --- the moving layer: what is replayed, and who died or came back
  const replays = moving(ui, (one, other) => (one < ground.n && other < ground.n ? arc(one, other) : null));

  function draw(now) {
    const { ctx } = view;
    view.clear();
    if (stale || still.width !== view.node.width || still.height !== view.node.height) drawStill();
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.drawImage(still, 0, 0);
    ctx.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
    ctx.save();
    ctx.beginPath();
    ctx.rect(left - 8 * s, 0, right() - left + 16 * s, view.h);
    ctx.clip();
    pulses = pulses.filter((each) => now - each.start < 900);
    for (const { node, start, colour } of pulses) {
      const part = (now - start) / 900;
      ctx.globalAlpha = 1 - part;
      ctx.strokeStyle = colour;
      ctx.lineWidth = 2 * s;
      ctx.beginPath();
      ctx.arc(...at(node), radius() + 14 * s * part, 0, 2 * Math.PI);
      ctx.stroke();
    }
    ctx.globalAlpha = 1;
    const busy = replays.draw(ctx, now);
    if (over >= 0) {
      ctx.beginPath();
      ctx.arc(...at(over), radius() + 4 * s, 0, 2 * Math.PI);
      ctx.lineWidth = 2 * s;
      ctx.strokeStyle = ui.theme.ink;
      ctx.stroke();
      label(ctx, over, !upright(), 600);
    }
    ctx.restore();
    const words = replays.words(now);
    if (caption.textContent !== words) caption.textContent = words;
    return busy || pulses.length > 0;
  }

  // --- the frame: status, buttons, legend
  const caption = make("span", { class: "p2p-status p2p-caption" });
  caption.style.marginLeft = "auto";
  ui.status.after(caption);

  function refresh() {
    const dead = ground.n - state.alive, parts = [`${state.alive} alive`];
    if (dead) parts.push(`${dead} dead`);
    if (state.cut) parts.push(`${state.cut} cut off`);
    if (state.faults.length) parts.push(`faults: ${state.faults.join(", ")}`);
    if (ground.key) parts.push(`${state.holders} hold ${ground.key.id}`);
    const [first] = rates, [now, total] = rates[rates.length - 1];
    if (state.time !== null) parts.push(`${total.toLocaleString("en")} requests`, `simulated ${lasting(state.time)}`);
    else parts.push(`${now - first[0] < 300 ? 0 : Math.round((1000 * (total - first[1])) / (now - first[0]))} requests/s`);
    ui.status.textContent = parts.join(" · ");
    const chosen = state.selected;
    picked.textContent = chosen === null ? "click a node" : name(chosen);
    picked.className = chosen === null ? "p2p-soft" : "p2p-mono";
    for (const button of mine) button.disabled = chosen === null || (button.textContent === "restart") === !!alive(chosen);
    heal.disabled = !state.cut;
    raise.disabled = !dead;
    raise.textContent = dead > 1 ? `restart ${dead} dead` : "restart dead";
  }

  const act = (action, more = {}) => ui.send({ do: action, ...more });
  const choose = (node) => ui.send({ select: node });
  const picked = make("span");
  picked.style.minWidth = "6.5em";
  ui.add(picked);
  const own = (text, title, press) => ui.button(text, title, () => state.selected !== null && press([state.selected]));
  const mine = [
    own("kill", "End the selected node at once; its connections are reset", (nodes) => act("kill", { nodes })),
    own("kill silently", "Turn it into a black hole, as when a machine loses its power", (nodes) => act("kill", { nodes, silent: true })),
    own("cut off", "Part it from all others", (nodes) => act("partition", { nodes })),
    own("restart", "Start it anew: old address and uid, empty stores", (nodes) => act("restart", { nodes })),
  ];
  ui.group();
  const share = make("select", { title: "How many, drawn at random", "aria-label": "share of the living nodes" });
  for (const percent of [10, 30, 50]) share.append(make("option", { value: percent / 100, text: `${percent} %`, selected: percent === 30 }));
  ui.add(share);
  const some = () => ({ fraction: Number(share.value) });
  ui.button("kill them", "Kill this share of the living nodes", () => act("kill", some()));
  ui.button("cut them off", "Part this share of the living nodes from all others", () => act("partition", some()));
  const heal = ui.button("heal", "End the partition", () => act("heal"));
  const raise = ui.button("restart dead", "Restart every node that is dead", () => act("restart"));
  ui.group();
  const more = make("input", { type: "number", min: 1, max: 500, value: 1, "aria-label": "how many nodes to add" });
  more.style.width = "4.6em";
  ui.add(more);
  ui.button("add", "Launch so many more nodes, which join", () => act("add", { n: Math.max(1, Math.round(Number(more.value) || 1)) }));
  ui.group();
  ui.field("key or text", { placeholder: "who holds it?", size: 14, spellcheck: "false" }, (key) => ui.send({ key }));
  ui.group();
  const pace = make("select", { title: "How long the replay of a call takes" });
  for (const seconds of [...new Set([0, 1, 2, 5, 10, ui.model.get("pace")])].sort((a, b) => a - b)) {
    pace.append(make("option", { value: seconds, text: seconds ? `${seconds} s` : "off", selected: seconds === ui.model.get("pace") }));
  }
  pace.addEventListener("change", () => ui.send({ pace: Number(pace.value) }));
  ui.add(make("label", {}, "replay", pace));
  const turn = simulated(ui, act);
  ui.group();
  ui.button("−", "Zoom out (-)", () => zoomTo(zoom / 2));
  ui.button("+", "Zoom in (+); with Ctrl, the mouse wheel", () => zoomTo(zoom * 2));
  ui.group();
  const end = ui.button("close", "Close the cluster: nothing of it is left running", () => {
    if (end.textContent === "close") { end.textContent = "really close?"; setTimeout(() => { end.textContent = "close"; }, 3000); } else act("close");
  });
  ui.body.append(legend([["ring", blue, "alive"], ["cross", grey, "dead"], ["triangle", orange, "cut off"], ["box", green, "selected"],
    ["line", sky, "in its routing table"], ["disc", vermillion, "holds the key"]]),
  legend(["messages:", ["ring", INK, "request"], ["disc", INK, "reply"], ["star", green, "a record, or one taken"], ["cross", vermillion, "no reply"]]));

  // --- the pointer and the keyboard
  function zoomTo(wanted, x = (left + right()) / 2) {
    const anchor = pan + (x - left) / (right() - left) / zoom;
    zoom = Math.max(1, Math.min(ground.n / 2 || 1, wanted));
    panTo(anchor - (x - left) / (right() - left) / zoom);
  }

  function panTo(wanted) {
    pan = Math.max(0, Math.min(1 - 1 / zoom, wanted));
    resize();
    stale = true;
    ui.tip(null);
    ui.redraw();
  }

  function nearest(x, y) {
    let best = -1, least = Math.max(9 * s, radius() + 4) ** 2;
    for (let node = 0; node < ground.n; node++) {
      const [nx, ny] = at(node), distance = (nx - x) ** 2 + (ny - y) ** 2;
      if (distance < least) { least = distance; best = node; }
    }
    return best;
  }

  function describe(node) {
    const flag = state.flags[node], chosen = state.selected;
    const lines = [`#${node} · ${id(node, 8)}…`, `${ground.ip}:${ground.ports[node]} · ${flag & 1 ? "alive" : "dead"}${flag & 2 ? ", cut off" : ""}`];
    const has = `${counted(state.contacts[node], "contact")} · ${counted(state.records[node], "record")}`;
    if (flag & 1) lines.push(has + (flag & 4 ? " · holds the key" : ""));
    if (chosen !== null && chosen !== node) {
      const mine = parseInt(id(chosen, 8), 16), its = parseInt(id(node, 8), 16);
      const bits = Math.clz32(mine ^ its);
      lines.push(`${counted(bits, "bit")} shared with #${chosen}${state.table.includes(node) ? ", in its table" : ""}`);
    }
    return lines.join("\n");
  }

  function point(node) {
    if (node === over && node < 0) return;
    over = node;
    view.node.style.cursor = node >= 0 ? "pointer" : zoom > 1 ? "grab" : "default";
    ui.tip(node < 0 ? null : describe(node), ...(node < 0 ? [0, 0] : at(node)));
    ui.redraw();
  }

  function walk(by) {  // to the next leaf; into view if it is outside
    const from = over >= 0 ? over : state.selected, place = from === null ? -1 : ground.order.indexOf(from);
    const next = ground.order[Math.max(0, Math.min(ground.n - 1, place + by))];
    const x = X(ground.x[next]);
    if (x < left || x > right()) panTo(ground.x[next] - 0.5 / zoom);
    point(next);
  }

  const { node } = view;
  node.addEventListener("pointerdown", (event) => { drag = { x: event.offsetX, pan, moved: false }; node.setPointerCapture(event.pointerId); });
  node.addEventListener("pointermove", ({ offsetX: x, offsetY: y }) => {
    if (drag && zoom > 1 && (drag.moved || Math.abs(x - drag.x) > 4)) {
      drag.moved = true;
      panTo(drag.pan - (x - drag.x) / (right() - left) / zoom);
    } else if (!drag) point(nearest(x, y));
  });
  node.addEventListener("pointerup", ({ offsetX: x, offsetY: y }) => {
    if (drag && !drag.moved) { const found = nearest(x, y); choose(found < 0 || found === state.selected ? null : found); }
    drag = null;
  });
  node.addEventListener("pointerleave", () => point(-1));
  node.addEventListener("blur", () => point(-1));
  node.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoomTo(zoom * Math.exp(-event.deltaY / 200), event.offsetX);
  }, { passive: false });
  ui.keys(node, {
    ArrowRight: () => walk(1), ArrowLeft: () => walk(-1), Home: () => walk(-ground.n), End: () => walk(ground.n),
    Enter: () => over >= 0 && choose(over === state.selected ? null : over), Escape: () => { choose(null); point(-1); },
    Delete: () => state.selected !== null && act("kill", { nodes: [state.selected] }),
    "+": () => zoomTo(zoom * 2), "-": () => zoomTo(zoom / 2), 0: () => zoomTo(1),
  });

  ui.onState((got) => {
    const before = state;
    state = { ...got, flags: numbers(got.flags, Uint8Array), contacts: numbers(got.contacts, Uint32Array), records: numbers(got.records, Uint32Array),
      table: numbers(got.table, Uint16Array) };
    if (before) state.flags.forEach((flag, node) => {
      if (node < before.flags.length && (flag & 1) !== (before.flags[node] & 1)) pulses.push({ node, start: performance.now(), colour: flag & 1 ? green : vermillion });
    });
    if (before && turn && got.time !== before.time) turn();
    stale = true;
    count();
  });

  function count() {  // also when nothing happens: then the rate falls
    const now = performance.now();
    rates.push([now, state.requests]);
    rates = rates.filter(([then]) => now - then < 2500);
    refresh();
  }
  const counting = setInterval(count, 1000);
  ui.undo.push(() => clearInterval(counting));

  ui.onretheme = () => { stale = true; };
  view.onresize = () => { stale = true; resize(); };  // names have another direction where there is more room
  return { draw };
});
