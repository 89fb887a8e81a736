// xor_space(): all uids of a few bits in a row under their trie, the target to drag, and the bits of the nearest nodes. See xor.py.

const LISTED = 6;

export default live((ui) => {
  const { blue, orange, vermillion, purple, sky } = COLOURS, s = ui.scale;
  const view = ui.canvas(400, "All uids as leaves of a trie; the arrow keys move the target, up and down go from node to node");
  let bits = 8, uids = [], target = 0, over = -1, dragging = false;

  const left = () => 14 * s, right = () => view.w - 14 * s;
  const wide = () => (right() - left()) / 2 ** bits;
  const X = (uid) => left() + (uid + 0.5) * wide();
  const step = () => 17 * s;
  const leafY = () => 16 * s + bits * step();
  const nodes = () => uids.map((uid) => ({ uid, distance: uid ^ target })).sort((a, b) => a.distance - b.distance);
  const shared = (distance) => bits - (32 - Math.clz32(distance));
  const binary = (uid) => uid.toString(2).padStart(bits, "0");
  const compared = () => (over >= 0 ? over : (nodes()[0] || { uid: target }).uid);

  ui.onState((state) => {
    if (dragging) return;
    ({ bits, uids, target } = state);
    view.resize(Math.round(leafY() + 106 * s + Math.max(4.4, Math.min(LISTED, uids.length) + 1) * 23 * s));
    tell();
  });

  function move(wanted) {
    target = Math.max(0, Math.min(2 ** bits - 1, wanted));
    ui.send({ target });
    tell();
    ui.redraw();
  }

  function tell() {
    const other = compared();
    ui.status.textContent = `${target} ⊕ ${other} = ${target ^ other}`;
  }

  function tree() {
    const { ctx } = view;
    const walk = (depth, prefix, x, y) => {
      if (depth === bits) return;
      const span = 2 ** (bits - depth - 1);
      for (const bit of [0, 1]) {
        const first = (prefix * 2 + bit) * span, cx = (X(first) + X(first + span - 1)) / 2, cy = y + step();
        const on = target >> (bits - depth - 1) === prefix * 2 + bit;
        if (wide() * span > 1.2 || on) {
          ctx.strokeStyle = on ? purple : ui.theme.line;
          ctx.globalAlpha = on ? 1 : 0.85;
          ctx.lineWidth = (on ? 2.4 : 0.8) * s;
          ctx.beginPath();
          ctx.moveTo(x, y); ctx.lineTo(cx, cy);
          ctx.stroke();
          ctx.globalAlpha = 1;
          if (Math.abs(cx - x) > 26 * s) ui.text(ctx, String(bit), (x + cx) / 2 + (bit ? 8 : -8) * s, (y + cy) / 2 - 3 * s, { size: 11, align: "center", colour: on ? purple : ui.theme.soft, halo: true });
        }
        walk(depth + 1, prefix * 2 + bit, cx, cy);
      }
    };
    walk(0, 0, (X(0) + X(2 ** bits - 1)) / 2, 10 * s);
  }

  function leaves() {
    const { ctx } = view, y = leafY();
    for (let leaf = 0; leaf < 2 ** bits; leaf++) {
      ctx.globalAlpha = 0.05 + 0.95 * (1 - (leaf ^ target) / 2 ** bits) ** 2;
      ctx.fillStyle = seen(blue);
      ctx.fillRect(X(leaf) - wide() / 2, y, Math.max(1, wide() - (wide() > 3 ? 0.6 : 0)), 24 * s);
    }
    ctx.globalAlpha = 1;
    for (const uid of uids) {
      mark(ctx, "ring", X(uid), y + 12 * s, Math.min(6 * s, Math.max(3.4 * s, wide())), uid === over ? vermillion : orange, ui.theme.paper);
    }
    if (over >= 0) line(over, vermillion, y);
    const tip = Math.max(left() + 30 * s, Math.min(right() - 30 * s, X(target)));
    mark(ctx, "diamond", X(target), y + 35 * s, 8 * s, purple);
    ui.text(ctx, `target ${target}`, tip, y + 61 * s, { align: "center", weight: 600 });
  }

  function line(uid, colour, y) {  // the bracket between a node and the target, with their distance
    const { ctx } = view, x1 = X(uid), x2 = X(target);
    ui.text(ctx, `node ${uid}`, Math.max(left() + 26 * s, Math.min(right() - 26 * s, x1)), y - 6 * s, { align: "center", weight: 600, halo: true, colour });
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1.4 * s;
    ctx.beginPath();
    ctx.moveTo(x1, y + 25 * s); ctx.quadraticCurveTo((x1 + x2) / 2, y + 46 * s, x2, y + 35 * s);
    ctx.stroke();
  }

  let lines = [];  // of the table: {y, uid}
  function table() {
    const { ctx } = view, row = 23 * s, digit = 20 * s, x0 = left() + 152 * s;
    let y = leafY() + 92 * s;
    lines = [];
    const soft = { colour: ui.theme.soft, size: 11 };
    for (let i = 0; i < bits; i++) ui.text(ctx, String(2 ** (bits - 1 - i)), x0 + i * digit, y, { ...soft, align: "center", size: 10 });
    ui.text(ctx, "distance", x0 + bits * digit + 44 * s, y, { ...soft, align: "right" });
    ui.text(ctx, "bits shared", x0 + bits * digit + 126 * s, y, { ...soft, align: "right" });
    const put = (what, uid, distance, colour) => {
      y += row;
      const bold = distance === null ? 600 : 400;
      ui.text(ctx, what, left(), y, { colour: colour || ui.theme.soft });
      ui.text(ctx, String(uid), left() + 116 * s, y, { align: "right", weight: bold });
      [...binary(uid)].forEach((bit, i) => {
        const differs = distance !== null && (distance >> (bits - 1 - i)) & 1;
        ui.text(ctx, bit, x0 + i * digit, y, { align: "center", size: 14, family: ui.theme.mono, weight: differs ? 700 : 400, colour: differs ? vermillion : ui.theme.ink });
      });
      if (distance === null) return;
      ui.text(ctx, String(distance), x0 + bits * digit + 44 * s, y, { align: "right", weight: 600 });
      ui.text(ctx, String(shared(distance)), x0 + bits * digit + 126 * s, y, { align: "right" });
    };
    put("target", target, null, purple);
    const nearest = nodes(), listed = nearest.slice(0, LISTED);
    if (over >= 0 && !listed.some((each) => each.uid === over)) listed[listed.length - 1] = { uid: over, distance: over ^ target };
    for (const each of listed) {
      if (each.uid === compared()) {
        ctx.globalAlpha = 0.12;
        ctx.fillStyle = orange;
        ctx.beginPath();
        ctx.roundRect(left() - 8 * s, y + 7 * s, 170 * s + bits * digit + 132 * s, row, 4);
        ctx.fill();
        ctx.globalAlpha = 1;
      }
      const rank = nearest.findIndex((node) => node.uid === each.uid) + 1;
      put(`node, ${["nearest", "2nd", "3rd"][rank - 1] || `${rank}th`}`, each.uid, each.distance);
      lines.push({ y: y - row / 2, uid: each.uid });
    }
    sum(x0 + bits * digit + 170 * s, leafY() + 92 * s);
  }

  function sum(x, y) {  // the distance as a sum of powers of two
    const { ctx } = view, other = compared(), distance = target ^ other, row = 23 * s;
    if (view.w - x < 190 * s) return;
    const powers = [...binary(distance)].flatMap((bit, i) => (bit === "1" ? [2 ** (bits - 1 - i)] : []));
    ui.text(ctx, `${binary(target)}  target`, x, y + row, { family: ui.theme.mono, size: 13 });
    ui.text(ctx, `${binary(other)}  node ${other}`, x, y + 2 * row, { family: ui.theme.mono, size: 13 });
    ui.text(ctx, binary(distance), x, y + 3 * row + 4 * s, { family: ui.theme.mono, size: 13, weight: 700, colour: vermillion });
    const width = ctx.measureText(binary(distance)).width;
    ui.text(ctx, "  XOR: 1 where they differ", x + width, y + 3 * row + 4 * s, { colour: ui.theme.soft });
    ctx.strokeStyle = ui.theme.soft;
    ctx.lineWidth = s;
    ctx.beginPath();
    ctx.moveTo(x, y + 2 * row + 8 * s); ctx.lineTo(x + width, y + 2 * row + 8 * s);
    ctx.stroke();
    ui.text(ctx, powers.length > 1 ? `= ${powers.join(" + ")} = ${distance}` : `= ${distance}`, x, y + 4 * row + 4 * s, { weight: 600 });
  }

  function draw() {
    view.clear();
    tree();
    leaves();
    table();
  }

  const { node } = view;
  const at = (x) => Math.floor((x - left()) / wide());
  function hit(x, y) {  // the node under the pointer, in the row of leaves or in the table
    const line = lines.find((each) => Math.abs(each.y - y) < 11 * s);
    if (line && x < left() + (332 + bits * 20) * s) return line.uid;
    if (Math.abs(y - leafY() - 12 * s) > 18 * s) return -1;
    const near = uids.filter((uid) => Math.abs(X(uid) - x) < 8 * s).sort((a, b) => Math.abs(X(a) - x) - Math.abs(X(b) - x));
    return near.length ? near[0] : -1;
  }
  const point = (uid) => { if (uid !== over) { over = uid; tell(); ui.redraw(); } };
  node.addEventListener("pointerdown", (event) => {
    if (event.offsetY > leafY() + 72 * s) return;
    dragging = true;
    node.setPointerCapture(event.pointerId);
    move(at(event.offsetX));
  });
  node.addEventListener("pointermove", ({ offsetX: x, offsetY: y }) => {
    node.style.cursor = dragging ? "grabbing" : y > leafY() + 72 * s ? "default" : "grab";
    if (dragging) { if (at(x) !== target) move(at(x)); } else point(hit(x, y));
  });
  node.addEventListener("pointerup", () => { dragging = false; });
  node.addEventListener("pointerleave", () => { if (!dragging) point(-1); });
  const next = (by) => { const order = nodes().map((each) => each.uid), i = order.indexOf(over); point(order[Math.max(0, Math.min(order.length - 1, i + by))] ?? -1); };
  ui.keys(node, {
    ArrowLeft: () => move(target - 1), ArrowRight: () => move(target + 1), ArrowUp: () => next(-1), ArrowDown: () => next(1),
    PageUp: () => move(target - 2 ** (bits / 2 | 0)), PageDown: () => move(target + 2 ** (bits / 2 | 0)), Home: () => move(0), End: () => move(2 ** bits - 1), Escape: () => point(-1),
  });
  ui.body.append(legend([["diamond", purple, "target: drag it, or use the arrow keys"], ["square", blue, "a uid: the stronger, the nearer"], ["ring", orange, "a node"],
    ["line", purple, "the target's path"]]));
  return { draw };
});
