"""What all pictures share: theme, marks, and the frame around a drawing.

A picture is a string: one self-contained `<svg>` with a title and a description for those who do not see it, and no
reference to anything outside. Text, lines and background take JupyterLab's own theme variables; where those do not
exist (GitHub, a file in a browser) the fallbacks follow the reader's light or dark preference, and the picture
brings its own background, so that ink and paper always match. Colours of marks are Okabe and Ito's (2008), which
colour-blind readers can tell apart, and no two marks differ in colour only.

The id of a picture is a hash of its content: several live on one page, and the same data gives the same bytes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from html import escape
from typing import NamedTuple

from p2pnb.uid import short

BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8c8c8c"
DARK_BLUE = "#3d9ad8"  # what blue is on a dark ground, between it and sky

# variable -> (JupyterLab's, VS Code's, light, dark); shared with the cards
THEME = {
    "paper": ("--jp-layout-color0", "--vscode-editor-background", "#ffffff", "#0d1117"),
    "ink": ("--jp-content-font-color1", "--vscode-editor-foreground", "#1f2328", "#e6edf3"),
    "soft": ("--jp-content-font-color2", "--vscode-descriptionForeground", "#59636e", "#9198a1"),
    "line": ("--jp-border-color1", "--vscode-editorIndentGuide-activeBackground", "#b6bdc6", "#545c66"),
    "faint": ("--jp-border-color2", "--vscode-editorIndentGuide-background", "#dde1e6", "#2f353d"),
}
FONT = "var(--jp-ui-font-family, system-ui), 'Segoe UI', Helvetica, Arial, sans-serif"
MONO = "var(--jp-code-font-family, ui-monospace), Menlo, Consolas, monospace"


class Look(NamedTuple):
    """How things are drawn: a picture's usual `width` before everything is enlarged by `scale`, lines made `thick` times as thick.

    `names`: nodes are called "#3 · 3fa9" wherever there is room, not just "#3".
    """

    width: float = 960.0
    scale: float = 1.0
    thick: float = 1.0
    names: bool = False

    def px(self, size: float) -> str:
        """A size of text or line of the style sheets, as it is on this look."""
        return f"{number(round(size * self.scale))}px"


SCREEN, STAGE = Look(), Look(640.0, 1.5, 1.6, True)
_look = SCREEN


def look() -> Look:
    """How pictures and cards are drawn at present."""
    return _look


def set_look(wanted: Look) -> None:
    """Draws everything from now on for a screen (`SCREEN`) or, large and thick, for a projector (`STAGE`)."""
    global _look  # noqa: PLW0603 (one reader, one look)
    _look = wanted


def name_of(node: int | None, uid: int | None = None) -> str:
    """What a node is called where space is short: "#3"; "#3 · 3fa9" on a stage; a stranger by its uid."""
    if node is None or node < 0:
        return "?" if uid is None else short(uid)[:4] + "…"
    return f"#{node} · {short(uid)[:4]}" if _look.names and uid is not None else f"#{node}"


def theme(selector: str) -> str:
    """CSS that gives `selector` the variables `--p2p-ink` and so on, right in light and in dark."""

    def block(fallback: int) -> str:
        return ";".join(f"--p2p-{name}:var({values[0]},var({values[1]},{values[fallback]}))" for name, values in THEME.items())

    return f"{selector}{{{block(2)}}}@media (prefers-color-scheme:dark){{{selector}{{{block(3)}}}}}"


def printable(content: object) -> str:
    """Any text on one line: what does not print (controls, direction overrides, lone surrogates) becomes U+FFFD."""
    line = str(content)
    return line if line.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in line)


def safe(content: object) -> str:
    """Any text as markup: printable and escaped."""
    return escape(printable(content))


def number(value: float) -> str:
    """A coordinate with at most one decimal."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


def duration(seconds: float) -> str:
    """A time span in the largest unit that fits: "12 ms", "3.4 s", "5 min", "2.5 h"."""
    unit, size = next(((unit, size) for unit, size in (("h", 3600.0), ("min", 60.0), ("s", 1.0)) if seconds >= size), ("ms", 0.001))
    amount = seconds / size
    return f"{amount:.0f} {unit}" if amount >= 10 else f"{number(amount)} {unit}"


def ago(seconds: float) -> str:
    """How long ago: ages on the wire are whole seconds, so below one it is "just now"."""
    return "just now" if seconds < 1 else f"{duration(seconds)} ago"


def text(x: float, y: float, content: object, *, kind: str = "", anchor: str = "", turn: float = 0, size: float = 0) -> str:
    """One line of text at its baseline; `kind` is a class of the style sheet: soft, mono, bold, halo."""
    attributes = f' class="{kind}"' if kind else ""
    attributes += f' text-anchor="{anchor}"' if anchor else ""
    attributes += f' font-size="{number(size)}"' if size else ""
    attributes += f' transform="rotate({number(turn)} {number(x)} {number(y)})"' if turn else ""
    return f'<text x="{number(x)}" y="{number(y)}"{attributes}>{safe(content)}</text>'


def width_of(content: str, size: float = 12) -> float:
    """About how wide a text is, in pixels: enough to keep labels apart."""
    return sum(0.3 if c in " .,:;|'il·" else 0.85 if c in "mwMW" else 0.6 for c in content) * size


def group(parts: Iterable[str], attributes: str) -> str:
    """The parts with attributes in common; nothing where there are none."""
    body = "".join(parts)
    return f"<g {attributes}>{body}</g>" if body else ""


# --- marks ------------------------------------------------------------------------------------------------------------

def mark(shape: str, x: float, y: float, r: float, colour: str, tip: str = "") -> str:
    """One mark of radius `r` around a point; `tip` is shown when the pointer rests on it.

    `shape` is disc, ring, square, box (a hollow square), cross, diamond, triangle or star.
    """
    inner = f"<title>{safe(tip)}</title>" if tip else ""
    if shape in {"disc", "ring"}:
        paint = f'fill="{colour}"' if shape == "disc" else f'class="hollow" stroke="{colour}" stroke-width="{number(max(1.0, r / 2.5))}"'
        return _element("circle", f'cx="{number(x)}" cy="{number(y)}" r="{number(r)}" {paint}', inner)
    if shape in {"square", "box"}:
        paint = f'fill="{colour}"' if shape == "square" else f'class="hollow" stroke="{colour}" stroke-width="{number(max(1.0, r / 4))}"'
        at = f'x="{number(x - r)}" y="{number(y - r)}" width="{number(2 * r)}" height="{number(2 * r)}"'
        return _element("rect", f'{at} rx="{number(r / 4)}" {paint}', inner)
    if shape == "cross":
        path = f"M{number(x - r)} {number(y - r)}l{number(2 * r)} {number(2 * r)}m0 {number(-2 * r)}l{number(-2 * r)} {number(2 * r)}"
        return _element("path", f'd="{path}" fill="none" stroke="{colour}" stroke-width="{number(max(1.0, r / 2))}"', inner)
    points = " ".join(f"{number(x + r * dx)},{number(y + r * dy)}" for dx, dy in _POLYGONS[shape])
    return _element("polygon", f'points="{points}" fill="{colour}"', inner)


_POLYGONS = {
    "diamond": ((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
    "triangle": ((0, -1.2), (1.15, 0.9), (-1.15, 0.9)),
    "star": (
        (0, -1.6), (0.39, -0.53), (1.52, -0.49), (0.63, 0.2), (0.94, 1.29),
        (0, 0.66), (-0.94, 1.29), (-0.63, 0.2), (-1.52, -0.49), (-0.39, -0.53),
    ),
}  # fmt: skip


def _element(name: str, attributes: str, inner: str) -> str:
    return f"<{name} {attributes}>{inner}</{name}>" if inner else f"<{name} {attributes}/>"


Entries = Iterable[tuple[str, str, str]]  # shape, colour, meaning


def legend(entries: Entries, x: float, y: float, right: float = math.inf) -> str:
    """Marks and what they stand for, side by side; beyond `right` they go on in the next line, 18 below."""
    parts = []
    for (shape, colour, meaning), at, line in _flow(entries, x, right):
        parts += [mark(shape, at + 5, y - 4 + line, 4.5, colour), text(at + 15, y + line, meaning, kind="soft")]
    return "".join(parts)


def legend_height(entries: Entries, x: float, right: float) -> float:
    """How much lower than with one line everything below such a legend has to be."""
    return max((line for _, _, line in _flow(entries, x, right)), default=0.0)


def _flow(entries: Entries, x: float, right: float) -> Iterator[tuple[tuple[str, str, str], float, float]]:
    """Each entry, and where it stands: from the left, and below the first line."""
    at, line = x, 0.0
    for entry in entries:
        width = 15 + width_of(entry[2])
        if at > x and at + width > right:
            at, line = x, line + 18.0
        yield entry, at, line
        at += width + 20


# --- labels that keep apart -------------------------------------------------------------------------------------------


class Labels:
    """Labels placed one after the other; one that would cover an earlier one is left out."""

    def __init__(self, size: float = 11) -> None:
        self.size = size
        self.parts: list[str] = []
        self._taken: list[tuple[float, float, float, float]] = []

    def place(self, x: float, y: float, content: str, *, anchor: str = "start", kind: str = "halo") -> bool:
        """Write `content` at its baseline unless something is there; says whether it did."""
        width = width_of(content, self.size)
        left = x - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
        box = (left - 1, y - self.size, left + width + 1, y + 2)
        if any(a < box[2] and c > box[0] and b < box[3] and d > box[1] for a, b, c, d in self._taken):
            return False
        self._taken.append(box)
        self.parts.append(text(x, y, content, kind=kind, anchor="" if anchor == "start" else anchor, size=self.size))
        return True

    def keep_clear(self, x: float, y: float, r: float, *, until: float | None = None) -> None:
        """Let no later label cover the mark at this point, or the bar that goes from it to the x of `until`."""
        self._taken.append((x - r, y - r, (x if until is None else until) + r, y + r))


def _brighter(scope: str) -> str:
    """On a dark ground the blue is too dark for a thin line."""
    return f'{scope} [stroke="{BLUE}"]{{stroke:{DARK_BLUE}}}{scope} [fill="{BLUE}"]{{fill:{DARK_BLUE}}}'


# --- the picture ------------------------------------------------------------------------------------------------------


def picture(width: float, height: float, title: str, description: str, parts: Iterable[str]) -> str:
    """The whole `<svg>`: theme, title, description and drawing."""
    title, description, body = safe(title), safe(description), "".join(parts)
    name = "p2p-" + hashlib.sha256(f"{title}\0{description}\0{body}\0{_look.scale}".encode()).hexdigest()[:10]
    scope, scale, thick = f"#{name}", _look.scale, number(1.2 * _look.thick)
    heavy = f"{scope} .line{{stroke-width:{thick}px}}" if _look.thick > 1 else ""
    style = (
        f"{theme(scope)}{scope}{{max-width:100%;height:auto;font-family:{FONT}}}"
        f"{scope} text{{fill:var(--p2p-ink)}}{scope} .soft{{fill:var(--p2p-soft)}}{scope} .mono{{font-family:{MONO}}}"
        f"{scope} .bold{{font-weight:600}}{scope} .inverse{{fill:#fff}}"
        f"{scope} .halo{{paint-order:stroke;stroke:var(--p2p-paper);stroke-width:3px;stroke-linejoin:round}}"
        f"{scope} .paper{{fill:var(--p2p-paper)}}{scope} .hollow{{fill:var(--p2p-paper)}}"
        f"{scope} .line{{stroke:var(--p2p-line);fill:none}}{scope} .faint{{stroke:var(--p2p-faint);fill:none;stroke-opacity:.8}}{heavy}"
        f"{_brighter(f'{scope}:is([data-jp-theme-light=false] *)')}@media (prefers-color-scheme:dark){{"
        f"{_brighter(f'{scope}:not([data-jp-theme-light] *)')}}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" id="{name}" class="p2p-picture" role="img" aria-labelledby="{name}-t {name}-d" '
        f'width="{number(scale * width)}" height="{number(scale * height)}" viewBox="0 0 {number(width)} {number(height)}" '
        f'font-family="sans-serif" font-size="12" fill="#1f2328">'
        f'<title id="{name}-t">{title}</title><desc id="{name}-d">{description}</desc><style>{style}</style>'
        f'<rect class="paper" width="100%" height="100%" fill="#ffffff" stroke="none"/>{body}</svg>'
    )
