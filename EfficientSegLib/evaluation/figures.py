"""One picture of one run: three slices with masks and patch boxes, volumes, and the learned class weights."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from EfficientSegLib.bundle import Bundle
from EfficientSegLib.errors import VolumeError
from EfficientSegLib.evaluation import views
from EfficientSegLib.evaluation.drawing import ACCENT, BACKGROUND, FAINT, INK, PANEL, Scene, draw_view
from EfficientSegLib.evaluation.panels import draw_structures, draw_weights
from EfficientSegLib.evaluation.views import PLANES, Orientation
from EfficientSegLib.files import replacing
from EfficientSegLib.geometry import PatchBox, ScoredBox, whole
from EfficientSegLib.record import volumes_ml
from EfficientSegLib.volume import Volume

WIDTH, DOTS_PER_INCH = 17.0, 110
MARGIN, GAP, TITLE_INCHES, HIGHEST_VIEW = 0.35, 0.2, 1.0, 9.0  # inches


def overview(
    volume: Volume,
    labels: np.ndarray,
    bundle: Bundle,
    path: str | os.PathLike,
    *,
    patches: Sequence[ScoredBox] = (),
    patches_read: int | None = None,
    candidates: int = 0,
    class_weights: Mapping[str, float] | None = None,
    device: str = "",
    seconds: float | None = None,
    unit: str = "patches",
) -> None:
    """Draw a run as PNG; an older picture is replaced in one step.

    Args:
        labels: (I, J, K), on the grid of `volume`.
        patches: chosen, best first, in voxels of `volume`; () where everything was read.
        patches_read: how many of them; None is all.
        candidates: how many patches there were to choose from.
        class_weights: by label name, 0 (overview) to 1 (patches).
        unit: what was read, "patches" or "slices".

    Raises:
        VolumeError: matplotlib is missing, or the picture cannot be written.
    """
    figure_class, canvas_class = _matplotlib()
    read = len(patches) if patches_read is None else patches_read
    scene = _scene(volume, labels, bundle, patches, read, is_coarse=candidates > 0 and read == 0)
    size_mm = [n * s for n, s in zip(scene.image.shape, scene.spacing_mm)]
    widths = [size_mm[plane.columns] for plane in PLANES]
    views_high = (WIDTH - 2 * MARGIN - 2 * GAP) * max(size_mm[plane.rows] for plane in PLANES) / sum(widths)
    views_high = min(views_high, HIGHEST_VIEW)
    panels_high = 3.3 + 0.2 * max(len(bundle.shown_labels) - 14, 0) ** 0.7
    height = TITLE_INCHES + views_high + GAP + panels_high + MARGIN
    figure = figure_class(figsize=(WIDTH, height), dpi=DOTS_PER_INCH, facecolor=BACKGROUND)
    canvas_class(figure)
    _title(figure, height, bundle, _facts(device, seconds, f"{read} of {candidates} {unit}" if candidates else ""))
    left = MARGIN
    for plane, width in zip(PLANES, widths):
        share = (WIDTH - 2 * MARGIN - 2 * GAP) * width / sum(widths)
        draw_view(_axes(figure, left, MARGIN + panels_high + GAP, share, views_high), plane, scene)
        left += share + GAP
    room = WIDTH - 2 * MARGIN
    structures = 0.59 * (room - GAP) if class_weights else room
    millilitres = volumes_ml(labels, volume.spacing_mm, bundle)
    draw_structures(_axes(figure, MARGIN, MARGIN, structures, panels_high), scene, millilitres)
    if class_weights:
        place = MARGIN + structures + GAP, MARGIN, room - GAP - structures, panels_high
        draw_weights(_axes(figure, *place), class_weights, bundle.shown_labels)
    with replacing(Path(path), ".png") as part:
        figure.savefig(part, format="png", facecolor=BACKGROUND)


def _scene(
    volume: Volume, labels: np.ndarray, bundle: Bundle, patches: Sequence[ScoredBox], read: int, is_coarse: bool
) -> Scene:
    orientation = Orientation.of(volume)
    boxes = tuple(ScoredBox(orientation.box(patch.box), patch.score, patch.rank) for patch in patches)
    seen = [patch.box for patch in boxes if patch.rank <= read]
    if not boxes and not is_coarse:
        seen = [whole(orientation.shape)]  # a strategy without a choice reads everything
    return Scene(
        image=orientation.array(volume.array[0]),
        labels=orientation.array(labels),
        refined=views.refined(orientation.shape, seen),
        boxes=boxes,
        patches_read=read,
        is_partly_coarse=bool(boxes) or is_coarse,
        spacing_mm=orientation.spacing_mm,
        window=views.shown_values(volume.array[0], bundle.modality),
        shown=bundle.shown_labels,
    )


def overview_from_record(
    volume: Volume, labels: np.ndarray, bundle: Bundle, record: Mapping[str, Any], path: str | os.PathLike
) -> None:
    """Draw a run from its record (record.py)."""
    patches = record["patches"]
    overview(
        volume,
        labels,
        bundle,
        path,
        patches=[
            ScoredBox(PatchBox(tuple(box["start"]), tuple(box["stop"])), box["priority"], box["rank"])
            for box in patches["boxes"]
        ],
        patches_read=patches["read"],
        candidates=patches["candidates"],
        class_weights=record["class_weights"],
        device=record["device"],
        seconds=record["seconds"]["total"],
        unit=patches.get("unit", "patches"),
    )


def _matplotlib():
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise VolumeError(
            "The picture cannot be drawn.", why="The Python package matplotlib is missing.", mend="Install matplotlib."
        ) from error
    return Figure, FigureCanvasAgg


def _facts(device: str, seconds: float | None, read: str) -> str:
    parts = [f"device {device}"] if device else []
    parts += [f"{seconds:.1f} s"] if seconds is not None else []
    parts += [f"{read} read in detail"] if read else []
    return "   ·   ".join(parts)


def _title(figure, height: float, bundle: Bundle, facts: str) -> None:
    left, right = MARGIN / WIDTH, 1 - MARGIN / WIDTH
    top, below = 1 - 0.38 / height, 1 - 0.72 / height
    figure.text(left, top, bundle.title, color=INK, fontsize=19, fontweight="bold", va="center")
    figure.text(left, below, facts, color=FAINT, fontsize=11.5, va="center")
    figure.text(right, top, "RESEARCH ONLY", color=ACCENT, fontsize=13, fontweight="bold", ha="right", va="center")
    figure.text(right, below, "not for diagnosis", color=FAINT, fontsize=11.5, ha="right", va="center")


def _axes(figure, left: float, bottom: float, width: float, height: float):
    """Axes at a place given in inches."""
    whole_width, whole_height = figure.get_size_inches()
    place = (left / whole_width, bottom / whole_height, width / whole_width, height / whole_height)
    axes = figure.add_axes(place, facecolor=PANEL)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return axes
