"""Three planes of a case, with and without its labels."""

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from .draw import Drawing
from .tissues import LABELS, NAMES


def picture(drawing: Drawing, path: Path, at: tuple[float, float, float] = (0.5, 0.47, 0.48)) -> None:
    """Write a PNG: axial, coronal, sagittal plane at the fractions `at`; -160 to 240 HU, below it the labels."""
    index = [int(part * length) for part, length in zip(at, drawing.labels.shape)]
    colours = colormaps["tab20"](np.arange(len(LABELS)) % 20)[:, :3]
    figure = Figure(figsize=(18, 12), facecolor="black", layout="tight")
    for column, axis in enumerate((2, 1, 0)):
        grey, labels = (np.take(one, index[axis], axis).T[::-1] for one in (drawing.image, drawing.labels))
        if axis != 0:  # radiological: the patient's right on the left
            grey, labels = grey[:, ::-1], labels[:, ::-1]
        grey = np.clip((grey + 160) / 400, 0, 1)[..., None].repeat(3, -1)
        over = np.where((labels > 0)[..., None], 0.45 * grey + 0.55 * colours[labels], grey)
        for row, shown in enumerate((grey, over)):
            axes = figure.add_subplot(2, 3, 1 + column + 3 * row)
            axes.imshow(shown, interpolation="nearest")
            axes.axis("off")
    for value in range(1, len(LABELS)):
        figure.text(0.005 + 0.052 * (value - 1), 0.002, NAMES[value], color=colours[value], fontsize=7)
    figure.savefig(path, dpi=80)
