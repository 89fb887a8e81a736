// node.table(): a row a bucket, k slots a row. See table.py for what the state holds.

export default live((ui) => {
  const view = ui.canvas(200, "The routing table: a row for each number of shared bits");
  ui.field("key or text", { placeholder: "where does it fall?", size: 26, spellcheck: "false" }, (key) => ui.send({ key }));
  const { blue, vermillion, orange, purple } = COLOURS;
  ui.body.append(legend([["square", blue, "heard from: the stronger, the more lately"], ["box", blue, "silent for 15 min"],
    ["cross", vermillion, "failing"], ["ring", orange, "replacement cache"], ["diamond", purple, "the row of the key"]]));
  const slots = [];  // {x, y, r, row, contact, kind}: where each slot is drawn, for the pointer and the arrow keys
  let state = null, at = -1;

  const size = () => (state.k <= 8 ? 32 : 25) * ui.scale;
  const top = () => 26 * ui.scale;
  const left = () => 176 * ui.scale;

  ui.onState((now) => {
    state = now;
    ui.status.textContent = state.alive
      ? `${state.id} · ${counted(state.known, "contact")}, ${state.waiting} waiting · k = ${state.k}`
      : `${state.id} · killed: it has no table`;
    view.resize(top() + Math.max(1, state.rows.length) * (size() + 5 * ui.scale) + 4);
  });

  function describe({ row, contact, kind }) {
    const shared = `${counted(row.bucket, "bit")} shared`;
    if (!contact) return `an empty place, ${shared}`;
    const [peer, id, age, failures, rtt, address] = contact;
    const lines = [`${peer === null ? "" : `#${peer} · `}${id}`, address, `${shared} · ${kind}`];
    if (age !== null) lines.push(`heard from ${age < 1 ? "just now" : `${age} s ago`}${rtt === null ? "" : ` · ${rtt} ms`}`);
    if (failures) lines.push(`${counted(failures, "failure")} in a row`);
    return lines.join("\n");
  }

  function slot(row, contact, x, y, r) {
    const { ctx } = view, [peer, , age, failures] = contact;
    const quiet = age === null || age > state.fresh_s;
    const kind = failures ? "failing" : quiet ? "silent for 15 min" : "fresh";
    if (failures || quiet) mark(ctx, "box", x, y, r, failures ? vermillion : blue);
    else {  // from full to a third of the colour as the age goes from 0 to 15 minutes, by its logarithm: seconds count at first
      ctx.globalAlpha = 1 - 0.66 * Math.min(1, Math.log1p(age) / Math.log1p(state.fresh_s));
      mark(ctx, "square", x, y, r, blue);
      ctx.globalAlpha = 1;
    }
    if (failures) mark(ctx, "cross", x, y, r * 0.55, vermillion);
    else if (peer !== null) {
      const strong = !quiet && (Math.log1p(age) / Math.log1p(state.fresh_s) < 0.62 || ui.theme.dark);
      ui.text(ctx, String(peer), x, y + 4 * ui.scale, { align: "center", size: peer > 999 ? 8.5 : 11, colour: strong ? "#fff" : ui.theme.ink });
    }
    slots.push({ x, y, r, row, contact, kind });
  }

  function draw() {
    const { ctx } = view, s = ui.scale, step = size() + 5 * s, r = size() / 2 - 2;
    view.clear();
    slots.length = 0;
    const soft = { colour: ui.theme.soft, size: 11 };
    ui.text(ctx, "bits shared", 8 * s, 14 * s, soft);
    ui.text(ctx, "prefix", 84 * s, 14 * s, soft);
    ui.text(ctx, "contacts", left(), 14 * s, soft);
    const most = Math.max(state.k, ...state.rows.map((row) => row.contacts.length));
    const cacheAt = left() + most * size() + 18 * s;
    if (state.waiting) ui.text(ctx, "waiting", cacheAt - 6 * s, 14 * s, soft);
    state.rows.forEach((row, line) => {
      const y = top() + line * step + step / 2;
      if (row.bucket === state.key_bucket) {
        ctx.globalAlpha = 0.2;
        ctx.fillStyle = purple;
        ctx.beginPath();
        ctx.roundRect(0, y - step / 2, view.w, step, 4);
        ctx.fill();
        ctx.globalAlpha = 1;
        const words = `key ${state.key}`;
        ui.text(ctx, words, view.w - 10 * s, y + 4 * s, { align: "right" });
        mark(ctx, "diamond", view.w - 20 * s - ctx.measureText(words).width, y, 4.5 * s, purple);
      }
      ui.text(ctx, String(row.bucket), 8 * s, y + 4 * s, { size: 13 });
      const bits = row.prefix, shown = (row.bucket >= bits.length ? "…" : "") + bits.slice(0, -1);
      ui.text(ctx, shown, 84 * s, y + 4 * s, { ...soft, family: ui.theme.mono });
      const width = ctx.measureText(shown).width;
      ui.text(ctx, bits.slice(-1), 84 * s + width, y + 4 * s, { size: 11, weight: 700, family: ui.theme.mono });
      ui.text(ctx, "…", 84 * s + width + 7 * s, y + 4 * s, { ...soft, family: ui.theme.mono });
      for (let i = 0; i < most; i++) {
        const x = left() + (i + 0.5) * size();
        if (row.contacts[i]) { slot(row, row.contacts[i], x, y, r); continue; }
        ctx.beginPath();
        ctx.roundRect(x - r, y - r, 2 * r, 2 * r, 3);
        ctx.lineWidth = 1;
        ctx.strokeStyle = ui.theme.faint;
        ctx.stroke();
        slots.push({ x, y, r, row, contact: null });
      }
      row.cached.forEach((contact, i) => {
        const x = cacheAt + i * 13 * s;
        if (x > view.w - 30) return;
        mark(ctx, "ring", x, y, 4.5 * s, orange);
        slots.push({ x, y, r: 6 * s, row, contact, kind: "waits for a place" });
      });
    });
    const chosen = slots[at];
    if (chosen && document.activeElement === view.node) {
      ctx.beginPath();
      ctx.roundRect(chosen.x - chosen.r - 2, chosen.y - chosen.r - 2, 2 * chosen.r + 4, 2 * chosen.r + 4, 4);
      ctx.lineWidth = 2;
      ctx.strokeStyle = ui.theme.ink;
      ctx.stroke();
    }
  }

  function point(index) {
    at = index;
    const found = slots[at];
    ui.tip(found ? describe(found) : null, found && found.x, found && found.y);
    ui.redraw();
  }

  function move(dx, dy) {  // to the nearest slot in that direction
    const from = slots[at] || { x: -1, y: -1 };
    let best = -1, least = Infinity;
    slots.forEach((each, i) => {
      const along = (each.x - from.x) * dx + (each.y - from.y) * dy, aside = Math.abs((each.x - from.x) * dy) + Math.abs((each.y - from.y) * dx);
      if (i !== at && along > 1 && along + 4 * aside < least) { least = along + 4 * aside; best = i; }
    });
    if (best >= 0) point(best);
  }

  view.node.addEventListener("pointermove", ({ offsetX: x, offsetY: y }) =>
    point(slots.findIndex((each) => Math.abs(each.x - x) <= each.r && Math.abs(each.y - y) <= each.r + 2)));
  view.node.addEventListener("pointerleave", () => point(-1));
  view.node.addEventListener("blur", () => point(-1));
  ui.keys(view.node, { ArrowRight: () => move(1, 0), ArrowLeft: () => move(-1, 0), ArrowDown: () => move(0, 1), ArrowUp: () => move(0, -1), Escape: () => point(-1) });
  return { draw };
});
