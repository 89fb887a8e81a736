// Requests that passed between nodes, shown again slowly: the moving half of a map. See replay.py for what a replay holds.
//
// A request is a ring on its way, its reply a disc on the way back, a record (or that one was taken) a star, no reply a cross where
// it did not come from. Upkeep is a faint line. Replays follow one another, unless that would fall far behind.

const FOUND = 2;  // of `kinds`: a reply that brought a record, or took one
const FADE = 700, SHORTEST = 350;  // ms
const MOST_MOVING = 8000;  // requests in the picture at a time

// `arc(one, other)` gives the curve between two nodes, [x1, y1, cx, cy, x2, y2], or null for strangers
function moving(ui, arc) {
  const { green, vermillion } = COLOURS, s = ui.scale;
  let replays = [];

  ui.onNews((news, buffers) => {
    const got = news.replay, now = performance.now();
    if (!got) return;
    const [asked, took, pairs, kinds] = [Float32Array, Float32Array, Uint16Array, Uint8Array].map((kind, i) => numbers(buffers[i], kind));
    const faint = got.cause === "upkeep", pace = faint ? 900 : 1000 * ui.model.get("pace");
    if (!pace) return;
    const last = Math.max(now, ...replays.filter((each) => !each.faint).map((each) => each.end));
    const begin = faint || last - now > 2.5 * pace ? now : last;
    replays.push({ ...got, asked, took, pairs, kinds, faint, begin, scale: pace / Math.max(got.ms, 1e-3), end: begin + pace });
    let count = 0;
    replays = replays.reverse().filter((each, i) => (count += each.count) <= MOST_MOVING || i === 0).reverse();
    ui.redraw();
  });

  function drawOne(ctx, each, i, start, now) {
    const failed = each.took[i] < 0, length = Math.max(SHORTEST, failed ? 2 * SHORTEST : each.took[i] * each.scale), part = (now - start) / length;
    if (now > start + length + FADE) return;
    const curve = arc(each.pairs[2 * i], each.pairs[2 * i + 1]);
    if (!curve) return;
    const [x1, y1, cx, cy, x2, y2] = curve, strength = part <= 1 ? 1 : 1 - (now - start - length) / FADE;
    const lost = failed && part > 0.5, found = each.kinds[i] === FOUND;
    ctx.globalAlpha = strength * (each.faint ? 0.14 : 0.55);
    ctx.strokeStyle = each.faint ? ui.theme.soft : lost ? vermillion : found && part > 0.5 ? green : ui.theme.ink;
    ctx.lineWidth = (each.faint ? 1 : 1.6) * s;
    ctx.beginPath();
    ctx.moveTo(x1, y1); ctx.quadraticCurveTo(cx, cy, x2, y2);
    ctx.stroke();
    if (each.faint) return;
    ctx.globalAlpha = strength;
    if (lost) return mark(ctx, "cross", x2, y2, 6 * s, vermillion);
    if (part > 1) return found ? mark(ctx, "star", x2, y2, 6 * s, green) : undefined;
    const t = failed ? Math.min(1, 2 * part) : 1 - Math.abs(1 - 2 * part);
    const x = (1 - t) ** 2 * x1 + 2 * t * (1 - t) * cx + t * t * x2, y = (1 - t) ** 2 * y1 + 2 * t * (1 - t) * cy + t * t * y2;
    if (part <= 0.5) mark(ctx, "ring", x, y, 4.5 * s, ui.theme.ink, ui.theme.paper);
    else if (found) mark(ctx, "star", x, y, 5 * s, green);
    else mark(ctx, "disc", x, y, 4.5 * s, ui.theme.ink);
  }

  return {
    draw(ctx, now) {  // true while anything moves
      replays = replays.filter((each) => now < each.end + SHORTEST + FADE);
      for (const each of replays) {
        for (let i = 0; i < each.asked.length; i++) {
          const start = each.begin + each.asked[i] * each.scale;
          if (start > now) break;
          drawOne(ctx, each, i, start, now);
        }
      }
      ctx.globalAlpha = 1;
      return replays.length > 0;
    },
    words(now) {  // what is being replayed
      const shown = replays.find((each) => !each.faint && now >= each.begin && now < each.end + FADE);
      if (!shown) return "";
      const verbs = Object.entries(shown.verbs).map(([verb, count]) => `${count} ${verb}`).join(", ");
      const took = `${shown.ms < 10 ? shown.ms.toFixed(1) : Math.round(shown.ms)} ms`;
      return `${shown.cause}${shown.node === null ? "" : ` from #${shown.node}`}: ${verbs}${shown.failed ? `, ${shown.failed} failed` : ""} · ${took}`;
    },
  };
}
