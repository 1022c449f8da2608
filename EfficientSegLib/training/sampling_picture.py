"""The picture of a sampling history: where the patches would be drawn from, time after time, and how sure that is."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from EfficientSegLib.evaluation.drawing import ACCENT, BACKGROUND, FAINT, INK, PANEL
from EfficientSegLib.evaluation.views import PLANES, Plane
from EfficientSegLib.files import replacing

if TYPE_CHECKING:
    from EfficientSegLib.training.sampling import History

COLUMNS = 6  # times shown at most, the first and the last among them
COLUMN_INCHES, MARGIN, GAP, TITLE, LINE, CURVES = 2.3, 0.3, 0.12, 0.75, 0.3, 2.2
HIGHEST_VIEW = 3.2  # inches
DOTS_PER_INCH = 100
OUTLINE = HIT = "#7ee0ff"


def draw(history: "History", path: Path) -> None:
    """Draw a history as PNG; an older picture is replaced in one step.

    Columns are times; rows are the three projections of the case, with the labels' outline, the priority of its patches
    summed along the line of sight, and the boxes of the chosen ones. Below: how even the distribution is, and how many
    of the chosen patches hold a label.

    Raises:
        VolumeError: the disk is full, or the folder may not be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    times = shown_times(len(history.steps))
    size_mm = history.shape * history.spacing_mm
    heights = [min(COLUMN_INCHES * size_mm[p.rows] / size_mm[p.columns], HIGHEST_VIEW) for p in PLANES]
    width = 2 * MARGIN + COLUMNS * COLUMN_INCHES + (COLUMNS - 1) * GAP
    height = TITLE + LINE + sum(heights) + 3 * GAP + CURVES + 2 * MARGIN
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    _title(figure, history, width, height)
    top = height - TITLE - LINE
    for plane, high in zip(PLANES, heights):
        _row(figure, history, plane, times, (top, high, width, height))
        top -= high + GAP
    for column, time in enumerate(times):
        x = MARGIN + column * (COLUMN_INCHES + GAP)
        words = f"step {history.steps[time]:,}"
        figure.text(x / width, (height - TITLE - LINE + 0.1) / height, words, color=INK, fontsize=11)
    _curves(figure, history, times, width, height)
    with replacing(path, ".png") as part:
        figure.savefig(part, format="png", facecolor=BACKGROUND)


def shown_times(count: int) -> list[int]:
    """Which of `count` times are shown: evenly spread, with the first and the last."""
    return sorted({int(time) for time in np.linspace(0, count - 1, min(count, COLUMNS)).round()})


def _title(figure, history: "History", width: float, height: float) -> None:
    line = {"va": "center", "ha": "left"}
    left = MARGIN / width
    figure.text(left, 1 - 0.3 / height, "Where patches are drawn from", color=INK, fontsize=15, weight="bold", **line)
    facts = f"{history.case}   ·   {len(history.starts)} candidate patches, the first {history.k} framed"
    facts += "   ·   each column has its own scale of priority; thin lines: the labels"
    figure.text(left, 1 - 0.58 / height, facts, color=FAINT, fontsize=10, **line)


def _row(figure, history: "History", plane: Plane, times: list[int], place: tuple[float, ...]) -> None:
    """One projection, at all shown times."""
    top, high, width, height = place
    image, outline = (_seen(arrays[plane.normal], plane) for arrays in (history.images, history.outlines))
    across, along = history.spacing_mm[plane.columns], history.spacing_mm[plane.rows]
    extent = (0, image.shape[1] * across, 0, image.shape[0] * along)
    columns, rows = ((np.arange(n) + 0.5) * step for n, step in zip(reversed(image.shape), (across, along)))
    low, most = np.percentile(image, (1, 99.5))
    most += 0.4 * (most - low)  # darker than usual: the priority lies over it
    for column, time in enumerate(times):
        x = MARGIN + column * (COLUMN_INCHES + GAP)
        axes = figure.add_axes((x / width, (top - high) / height, COLUMN_INCHES / width, high / height))
        axes.set(xticks=[], yticks=[], facecolor="black")
        axes.spines[:].set_visible(False)
        axes.imshow(image, cmap="gray", vmin=low, vmax=max(most, low + 1e-6), extent=extent, origin="lower")
        axes.imshow(_heat(_seen(history.projections(time)[plane.normal], plane)), extent=extent, origin="lower")
        if outline.any() and min(outline.shape) > 1:
            axes.contour(columns, rows, outline.astype(float), levels=[0.5], colors=[OUTLINE], linewidths=0.9)
        _frames(axes, history, time, plane)
        axes.set(xlim=extent[:2], ylim=extent[2:] if plane.upwards else extent[3:1:-1])
        if column == 0:
            axes.text(0.03, 0.04, plane.name, color=INK, fontsize=9, weight="bold", transform=axes.transAxes)


def _seen(projection: np.ndarray, plane: Plane) -> np.ndarray:
    """The two axes that are left of L, P, S as (rows, columns) of a plane."""
    left = [axis for axis in range(3) if axis != plane.normal]
    return projection if left == [plane.rows, plane.columns] else projection.T


def _heat(priority: np.ndarray) -> np.ndarray:
    """(rows, columns, 4): bright and opaque where the priority is high; clear where it is even or low."""
    from matplotlib import colormaps

    share = priority / max(priority.max(), 1e-12)
    colors = colormaps["inferno"](0.25 + 0.75 * share)
    colors[..., 3] = 0.6 * share
    return colors


def _frames(axes, history: "History", time: int, plane: Plane) -> None:
    from matplotlib.patches import Rectangle

    for start in history.starts[history.chosen[time]]:
        x, y = (start[axis] * history.spacing_mm[axis] for axis in (plane.columns, plane.rows))
        wide, high = (history.patch[axis] * history.spacing_mm[axis] for axis in (plane.columns, plane.rows))
        axes.add_patch(Rectangle((x, y), wide, high, fill=False, edgecolor=INK, linewidth=1.3))


def _curves(figure, history: "History", times: list[int], width: float, height: float) -> None:
    room = width - 2 * MARGIN
    axes = figure.add_axes(
        ((MARGIN + 0.45) / width, (MARGIN + 0.2) / height, (room - 0.45) / width, (CURVES - 0.45) / height),
        facecolor=PANEL,
    )
    axes.spines[:].set_visible(False)
    axes.tick_params(colors=FAINT, labelsize=9)
    axes.grid(color="#2a323a", linewidth=0.6)
    even = history.labelled.mean()
    axes.axhline(even, color=OUTLINE, linewidth=1, linestyle=":", label=f"all candidates with a label: {even:.0%}")
    mark = {"marker": "o", "markersize": 3}
    name = f"first {history.k} with a label: {history.hits[-1]:.0%}"
    axes.plot(history.steps, history.hits, color=HIT, linewidth=1.8, label=name, **mark)
    name = f"entropy, share of log N: {history.entropy[-1]:.2f}"
    axes.plot(history.steps, history.entropy, color=ACCENT, linewidth=1.8, label=name, **mark)
    for time in times:
        axes.axvline(history.steps[time], color=FAINT, linewidth=0.5, alpha=0.5, zorder=0)
    axes.set(ylim=(-0.03, 1.05), xlim=(history.steps[0], max(history.steps[-1], history.steps[0] + 1)))
    axes.set_xlabel("iterations", color=FAINT, fontsize=9, labelpad=1)
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.2), ncols=3, fontsize=9.5, labelcolor=INK, frameon=False)
