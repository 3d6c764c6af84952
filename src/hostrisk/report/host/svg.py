"""From matplotlib to a page: a chart drawn wide and narrow, cleaned into SVG elements.

The page shows one of the two drawings by :data:`STYLE`. Colors are variables of the page, ids carry
the chart's name, and coordinates are rounded, so that the same data give the same bytes. No text
from data reaches matplotlib, which would try to measure it: a stand-in is drawn, and replaced.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree as ET

from hostrisk.errors import MissingExtraError
from hostrisk.report import charts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = [
    "ACCENT", "INK", "LINE", "MARK", "MUTED", "SOFT", "STYLE", "SURFACE", "Chart", "Sheet", "Size",
    "draw_twice",
]  # fmt: skip

STYLE = (
    charts.STYLE
    + """
.drawing { display: block; width: 100%; height: auto; stroke-linejoin: round; }
.drawing text { font-family: var(--sans); font-variant-numeric: tabular-nums; }
.drawing .halo { paint-order: stroke; stroke: var(--surface); stroke-width: 4px; }
.narrow { display: none; }
@media screen and (max-width: 34rem) { .wide { display: none; } .narrow { display: block; } }
"""
)

# Colors that matplotlib draws, and the page's variables that take their places.
_COLORS = {
    "#000001": "var(--ink)",
    "#000002": "var(--muted)",
    "#000003": "var(--line)",
    "#000004": "var(--surface)",
    "#000005": "var(--accent)",
    "#000006": "var(--accent-soft)",
    "#000007": "var(--mark)",
}
INK, MUTED, LINE, SURFACE, ACCENT, SOFT, MARK = _COLORS
_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "hostrisk",
    "svg.image_inline": True,
    "text.parse_math": False,
    "text.usetex": False,
    "path.sketch": None,
    "font.family": ["DejaVu Sans"],
    "axes.unicode_minus": False,
}
_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_NUMBER = re.compile(r"-?\d+\.\d+")


class Chart(NamedTuple):
    """What a drawing is called and what it says to readers who cannot see it."""

    name: str
    title: str
    description: str


class Size(NamedTuple):
    """A drawing in units of its view box, and how many dates fit below it."""

    kind: str
    width: int
    height: int
    dates: int


class Sheet(NamedTuple):
    """What is being drawn: matplotlib's figure and axes, and words to put in for stand-ins."""

    figure: Any
    axes: Any
    size: Size
    words: dict[str, str]

    def text(self, x: float, y: float, text: str, **options: Any) -> None:
        """Write at a place in data coordinates, or in others given as ``transform``."""
        self.axes.text(x, y, self.stand_in(text), **{"fontsize": 12, "color": MUTED, **options})

    def stand_in(self, text: str) -> str:
        """Return what to draw in place of a text, which takes its place afterwards."""
        token = f"word{len(self.words)}"
        self.words[token] = text
        return token


def draw_twice(
    chart: Chart,
    sizes: Iterable[Size],
    draw: Callable[[Sheet], None],
    *,
    above: str,
    left: int = 50,
) -> str:
    """Draw a chart in each of its sizes, with a line of words above it."""
    return "".join(_drawn(chart, size, draw, above, left) for size in sizes)


def _drawn(chart: Chart, size: Size, draw: Callable[[Sheet], None], above: str, left: int) -> str:
    try:
        from matplotlib import style
    except ImportError as error:
        raise MissingExtraError("A chart", package="matplotlib", extra="host") from error

    image = io.StringIO()
    # From the library's own defaults, whatever the user's settings are.
    with style.context(["default", _SETTINGS], after_reset=True):
        sheet = _sheet(size, left)
        sheet.text(0, 1 - 6 / size.height, above, transform=sheet.figure.transFigure, va="top")
        draw(sheet)
        sheet.figure.savefig(image, format="svg", metadata={"Date": None, "Creator": None})
    return _cleaned(image.getvalue(), chart, size, sheet.words)


def _sheet(size: Size, left: int) -> Sheet:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size.width / 72, size.height / 72))  # units of the view box are points
    figure.patch.set_visible(False)
    right, top, bottom = 14, 32, 36
    axes = figure.add_axes((
        left / size.width,
        bottom / size.height,
        (size.width - left - right) / size.width,
        (size.height - top - bottom) / size.height,
    ))  # fmt: skip
    axes.patch.set_visible(False)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=6)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set(color=MUTED, linewidth=1)
    return Sheet(figure, axes, size, {})


def _cleaned(image: str, chart: Chart, size: Size, words: Mapping[str, str]) -> str:
    """Turn a file of matplotlib's into an element of a page."""
    root = ET.fromstring(image.partition("?>")[2])  # noqa: S314  # drawn here, not read
    name = f"{chart.name}-{size.kind}"
    wanted = {mark for node in root.iter() for mark in _marks_used(node)}
    for node in root.iter():
        _clean(node, name, wanted, words)
    _prune(root)
    root.attrib = {
        "class": f"drawing {size.kind}",
        "viewBox": f"0 0 {size.width} {size.height}",
        "role": "img",
        "aria-labelledby": f"{name}-title {name}-desc",
    }
    for place, (tag, text) in enumerate((("title", chart.title), ("desc", chart.description))):
        said = ET.Element(tag, {"id": f"{name}-{tag}"})
        said.text = text
        root.insert(place, said)
    return ET.tostring(root, encoding="unicode")


def _prune(root: ET.Element) -> None:
    """Drop what says nothing: metadata, a style that would reach all of the page, empty groups."""
    for parent in reversed(list(root.iter())):
        for child in list(parent):
            empty = child.tag in {"g", "defs"} and not len(child)
            if empty or child.tag in {"metadata", "style"}:
                parent.remove(child)


def _marks_used(node: ET.Element) -> Iterator[str]:
    """Yield the ids that an element refers to."""
    if _LINK in node.attrib:
        yield node.attrib[_LINK].removeprefix("#")
    if "clip-path" in node.attrib:
        yield node.attrib["clip-path"][5:-1]


def _clean(node: ET.Element, name: str, wanted: set[str], words: Mapping[str, str]) -> None:
    """Rename one element, its ids, colors and words, and round its numbers."""
    node.tag = node.tag.removeprefix(_SVG)
    node.tail = None
    found = node.attrib
    _rename(found, name, wanted)
    for key in ("d", "x", "y", "width", "height", "transform", "style"):
        if key in found:
            found[key] = _NUMBER.sub(_rounded, " ".join(found[key].split()))
    if found.get("transform", "").startswith("rotate(-0 "):
        del found["transform"]
    if "style" in found:
        found["style"] = _restyled(found["style"])
    if node.tag == "text":
        node.text = words.get(node.text or "", node.text)
        found["class"] = "halo"
    else:
        node.text = None


def _rename(found: dict[str, str], name: str, wanted: set[str]) -> None:
    """Make the ids of an element, and those it refers to, the chart's own."""
    own = found.pop("id", "")
    if own in wanted:
        found["id"] = f"{name}-{own}"
    if _LINK in found:
        found["href"] = f"#{name}-{found.pop(_LINK)[1:]}"
    if "clip-path" in found:
        found["clip-path"] = f"url(#{name}-{found['clip-path'][5:-1]})"


def _rounded(number: re.Match[str]) -> str:
    return f"{round(float(number[0]), 1) + 0:g}"


def _restyled(style: str) -> str:
    """Put the page's variables in for colors, and leave the choice of letters to the page."""
    kept = [part for part in style.split("; ") if not part.startswith("font-family")]
    changed = "; ".join(kept)
    for color, variable in _COLORS.items():
        changed = changed.replace(color, variable)
    return changed
