"""Two pictures of an evaluation: a measure against the number of patches, and Dice label by label."""

import os
from collections.abc import Sequence
from pathlib import Path

from EfficientSegLib.errors import OptionError, VolumeError
from EfficientSegLib.evaluation.drawing import BACKGROUND, FAINT, INK, PANEL
from EfficientSegLib.evaluation.results import Row
from EfficientSegLib.evaluation.tables import Spread, spread, summarise
from EfficientSegLib.files import replacing

DOTS_PER_INCH = 130
COLORS = ("#ffd166", "#56b4e9", "#e76f51", "#7fc97f", "#cc79a7", "#c9b79c", "#8da0cb", "#66c2a5")
WORDS = {"dice": "Dice", "nsd": "NSD", "hd95_mm": "HD95 (mm)", "seconds": "Seconds"}
MARKS = "osD^vPX*"
LEGEND_LETTERS = 100  # in a row of the legend, with 8 for the mark of each entry


def by_patches(rows: Sequence[Row], path: str | os.PathLike, measure: str = "dice") -> None:
    """Draw a measure against K, one line per method with that option, a level line for each other one; PNG.

    The band is one standard deviation over seeds, where there are several. "All" stands at the number of candidates.

    Args:
        measure: "dice", "nsd", "hd95_mm" or "seconds".

    Raises:
        OptionError: no method was run.
        VolumeError: matplotlib is missing, or the picture cannot be written.
    """
    summaries = [summary for summary in summarise(rows) if getattr(summary, measure)]
    if not summaries:
        raise _nothing(measure)
    figure, axes = _figure(8.2, 5.0)
    names = list(dict.fromkeys(summary.method for summary in summaries))
    for number, name in enumerate(names):
        own = [summary for summary in summaries if summary.method == name]
        points = [(_patches(rows, s.method, s.top_k), getattr(s, measure)) for s in own if s.top_k is not None]
        style = {"color": COLORS[number % len(COLORS)], "label": name, "zorder": 3 + number}
        several = own[0].seeds > 1
        if points:
            _line(axes, sorted(points, key=lambda point: point[0]), several, MARKS[number % len(MARKS)], style)
        else:
            _level(axes, getattr(own[0], measure), several, style)
    axes.set_xlabel("Patches read at full resolution (K)", color=FAINT)
    axes.set_ylabel(WORDS.get(measure, measure), color=FAINT)
    axes.grid(axis="both", color="#2a333b", linewidth=0.6)
    _legend(axes, names)
    _save(figure, path)


def by_label(rows: Sequence[Row], path: str | os.PathLike) -> None:
    """Draw Dice of every label as bars, a colour per method, deeper with more patches; largest label first; PNG.

    Raises:
        OptionError: no label was scored.
        VolumeError: matplotlib is missing, or the picture cannot be written.
    """
    scored = [row for row in rows if row.dice is not None]
    if not scored:
        raise _nothing("dice")
    sizes: dict[str, list[float]] = {}
    for row in scored:
        sizes.setdefault(row.label, []).append(row.reference_ml)
    labels = sorted(sizes, key=lambda name: -sum(sizes[name]) / len(sizes[name]))
    methods = [(s.method, s.top_k) for s in summarise(scored)]
    row_inches = 0.1 + 0.13 * len(methods)
    names = [method if top_k is None else f"{method} (K = {top_k})" for method, top_k in methods]
    figure, axes = _figure(8.2, 1.3 + row_inches * len(labels) + 0.2 * len(methods))
    for number, (method, top_k) in enumerate(methods):
        own = [row for row in scored if (row.method, row.top_k) == (method, top_k)]
        found = [spread([row for row in own if row.label == name], "dice") for name in labels]
        thickness = 0.8 / len(methods)
        places = [place + thickness * (number - (len(methods) - 1) / 2) for place in range(len(labels))]
        there = [(place, value) for place, value in zip(places, found) if value]
        axes.barh(
            [place for place, _ in there],
            [value.mean for _, value in there],
            thickness * 0.9,
            xerr=[value.deviation or 0 for _, value in there],
            error_kw={"ecolor": INK, "elinewidth": 0.7},
            color=_shade(methods, number),
            label=names[number],
        )
    axes.set_yticks(range(len(labels)), labels, color=INK)
    axes.set(xlim=(0, 1), ylim=(len(labels) - 0.5, -0.5))
    axes.set_xlabel("Dice", color=FAINT)
    axes.grid(axis="x", color="#2a333b", linewidth=0.6)
    _legend(axes, names)
    _save(figure, path)


def _shade(methods: list[tuple], number: int) -> tuple[float, ...]:
    """The colour of a method, mixed with the background where it was also run with more patches."""
    names = list(dict.fromkeys(name for name, _ in methods))
    own = [place for place, (name, _) in enumerate(methods) if name == methods[number][0]]
    share = 1 - 0.65 * (1 - (own.index(number) + 1) / len(own))
    color, ground = (
        [int(text[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        for text in (COLORS[names.index(methods[number][0]) % len(COLORS)], PANEL)
    )
    return tuple(share * above + (1 - share) * below for above, below in zip(color, ground))


def _patches(rows: Sequence[Row], method: str, top_k: int | str) -> float:
    if top_k != "all":
        return float(top_k)
    found = [row.candidates for row in rows if (row.method, row.top_k) == (method, top_k) and row.candidates]
    return sum(found) / max(len(found), 1)


def _line(axes, points: list[tuple[float, Spread]], several: bool, mark: str, style: dict) -> None:
    places, means = [place for place, _ in points], [value.mean for _, value in points]
    axes.plot(places, means, marker=mark, markersize=5, linewidth=1.8, **style)
    if several:
        away = [value.deviation or 0 for _, value in points]
        low, high = ([mean + sign * d for mean, d in zip(means, away)] for sign in (-1, 1))
        axes.fill_between(places, low, high, color=style["color"], alpha=0.18, linewidth=0)


def _level(axes, value: Spread, several: bool, style: dict) -> None:
    axes.axhline(value.mean, linewidth=1.5, linestyle="--", **style)
    if several and value.deviation:
        limits = value.mean - value.deviation, value.mean + value.deviation
        axes.axhspan(*limits, color=style["color"], alpha=0.1, linewidth=0)


def _figure(width: float, height: float):
    """A figure with dark axes, in inches, as the other pictures are."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise VolumeError(
            "The plot cannot be drawn.", why="The Python package matplotlib is missing.", mend="Install matplotlib."
        ) from error
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor=BACKGROUND, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor=PANEL)
    axes.tick_params(colors=FAINT, labelcolor=INK, length=0)
    axes.spines[:].set_visible(False)
    axes.set_axisbelow(True)
    return figure, axes


def _legend(axes, names: Sequence[str]) -> None:
    """Above the axes, in as many columns as the names leave room for."""
    columns = max(min(len(names), LEGEND_LETTERS // (max(map(len, names)) + 8)), 1)
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "ncols": columns, "frameon": False}
    axes.legend(labelcolor=INK, fontsize=9, **place)


def _save(figure, path: str | os.PathLike) -> None:
    with replacing(Path(path), ".png") as part:
        figure.savefig(part, format="png", facecolor=BACKGROUND)


def _nothing(measure: str) -> OptionError:
    return OptionError(
        "There is nothing to draw.", why=f"No run has a value of {measure!r}.", mend="Look at the errors in the table."
    )
