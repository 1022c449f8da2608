"""One slice of one run: image, masks, patch boxes, letters on the rims, a scale."""

from dataclasses import dataclass

import numpy as np

from EfficientSegLib.bundle import Label
from EfficientSegLib.evaluation import views
from EfficientSegLib.evaluation.views import Plane
from EfficientSegLib.geometry import ScoredBox

BACKGROUND, PANEL, INK, FAINT, ACCENT = "#0f1317", "#171d23", "#e8edf2", "#8b97a3", "#ffd166"
REFINED_ALPHA, COARSE_ALPHA = 0.50, 0.20  # what rests on the overview alone is paler
NUMBERED = 5  # patches whose rank is written into their corner


@dataclass(frozen=True)
class Scene:
    """What is drawn of a run, with all arrays and boxes along L, P, S (views.py)."""

    image: np.ndarray
    labels: np.ndarray
    refined: np.ndarray  # bool
    boxes: tuple[ScoredBox, ...]
    patches_read: int
    is_partly_coarse: bool
    spacing_mm: tuple[float, float, float]
    window: tuple[float, float]
    shown: tuple[Label, ...]


def draw_view(axes, plane: Plane, scene: Scene) -> None:
    """The slice of this plane that shows most, in millimetres, the patient's right on the left."""
    index = views.telling_slice(scene.labels, plane)
    image, labels, refined = (
        views.slice_of(array, plane, index) for array in (scene.image, scene.labels, scene.refined)
    )
    across, along = scene.spacing_mm[plane.columns], scene.spacing_mm[plane.rows]
    width, height = image.shape[1] * across, image.shape[0] * along
    place = {"extent": (0, width, 0, height), "origin": "lower", "aspect": "equal"}
    low, high = scene.window
    axes.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="bicubic", **place)
    columns, rows = ((np.arange(n) + 0.5) * step for n, step in zip(reversed(image.shape), (across, along)))
    for label in scene.shown:
        mask = labels == label.value
        if not mask.any():
            continue
        color = [part / 255 for part in label.color]
        for part, alpha in ((mask & refined, REFINED_ALPHA), (mask & ~refined, COARSE_ALPHA)):
            colored = np.dstack([np.broadcast_to(color, (*part.shape, 3)), part * alpha])
            axes.imshow(colored, interpolation="nearest", **place)
        if min(mask.shape) > 1:
            axes.contour(columns, rows, mask.astype(float), levels=[0.5], colors=[color], linewidths=1.3, zorder=3)
    _boxes(axes, plane, scene, index)
    axes.set(xlim=(0, width), ylim=(0, height) if plane.upwards else (height, 0), facecolor="black", anchor="N")
    for letter, x, y in zip(plane.rims, (0.02, 0.98, 0.5, 0.5), (0.5, 0.5, 0.97, 0.03)):
        _letter(axes, letter, x, y, ACCENT, 13, "center")
    _letter(axes, plane.name, 0.015, 0.03, INK, 11, "left")
    _scale_bar(axes, width)


def _letter(axes, text: str, x: float, y: float, color: str, size: float, align: str) -> None:
    """Text at a fraction of the axes, readable on black and on white."""
    from matplotlib.patheffects import withStroke

    outline = [withStroke(linewidth=2.5, foreground="black")]
    style = {"color": color, "fontsize": size, "fontweight": "bold", "path_effects": outline, "zorder": 9}
    axes.text(x, y, text, transform=axes.transAxes, ha=align, va="center", **style)


def _scale_bar(axes, width: float) -> None:
    length = 100 if width > 250 else 50 if width > 120 else 10
    share = length / width
    axes.plot([0.97 - share, 0.97], [0.03, 0.03], color=INK, linewidth=2, transform=axes.transAxes, zorder=9)
    _letter(axes, f"{length // 10} cm", 0.97 - share / 2, 0.052, INK, 8.5, "center")


def _boxes(axes, plane: Plane, scene: Scene, index: int) -> None:
    """Outlines of the patches that the slice cuts; the first read is brightest and on top, unread ones are dotted."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    outline = [withStroke(linewidth=2, foreground="black")]
    for patch in reversed(scene.boxes):
        if not patch.box.start[plane.normal] <= index < patch.box.stop[plane.normal]:
            continue
        x, y = (patch.box.start[axis] * scene.spacing_mm[axis] for axis in (plane.columns, plane.rows))
        width, height = (patch.box.shape[axis] * scene.spacing_mm[axis] for axis in (plane.columns, plane.rows))
        if patch.rank > scene.patches_read:
            unread = {"edgecolor": FAINT, "linewidth": 0.8, "linestyle": ":"}
            axes.add_patch(Rectangle((x, y), width, height, fill=False, zorder=4, **unread))
            continue
        color = rank_color(patch.rank, len(scene.boxes))
        thickness = 2.0 - 1.2 * (patch.rank - 1) / max(len(scene.boxes) - 1, 1)
        axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=color, linewidth=thickness, zorder=5))
        if patch.rank <= NUMBERED:
            corner = (x, y + height) if plane.upwards else (x, y)
            put = {"xytext": (4, -4), "textcoords": "offset points", "ha": "left", "va": "top", "clip_on": True}
            style = {"color": color, "fontsize": 9, "fontweight": "bold", "path_effects": outline, "zorder": 6}
            axes.annotate(str(patch.rank), corner, **put, **style)


def rank_color(rank: int, count: int) -> tuple[float, ...]:
    """Bright for the first patch read, darker for later ones, never too dark for a black picture."""
    from matplotlib import colormaps

    return colormaps["plasma"](0.95 - 0.65 * (rank - 1) / max(count - 1, 1))
