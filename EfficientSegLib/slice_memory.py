"""How much a run that reads slice by slice will hold, besides libraries and weights; the standard library only."""

from collections.abc import Mapping
from math import ceil
from typing import Any

from EfficientSegLib.bundle import Bundle
from EfficientSegLib.geometry import Index

MB = 1 << 20

# Measured with Testing/benchmarks/slices_memory.py in float32, nine labels, and rounded up: 90, 133, 170 and 198 MB for
# one slice of 512 x 512; 203 MB for four and 580 MB for one of 2048 x 2048 with the light encoder.
ONCE_MB = 60.0  # what the libraries take the first time, and tiles of labels
PIXEL_BYTES = {"light": 150, "fastvit": 320, "mambaout": 460, "efficientnetv2": 580}  # activations, by encoder
LOGIT_BYTES = 12  # per pixel and label: at the decoder's end, and enlarged
VOXEL_BYTES = 8  # of the scan: as read and its copy, or as read, labels and those on their way
PREPARED_BYTES = 4  # per voxel that the network sees


def slices_mb(
    shape: Index,
    spacing_mm: tuple[float, float, float],
    bundle: Bundle,
    options: Mapping[str, Any],
    overlapping: bool = False,
) -> float:
    """Megabytes on the processor, from above.

    Args:
        shape: voxels of the input.
        spacing_mm: of the input.
        options: of the strategy, as far as they are given.
        overlapping: whether all labels of each voxel are kept.
    """
    rule = bundle.preprocess
    wanted = (*rule.spacing_mm[:2], spacing_mm[2] if rule.native_slices else rule.spacing_mm[2])
    grid = [max(round(length * have / want), 1) for length, have, want in zip(shape, spacing_mm, wanted)]
    pixels = _product(32 * ceil(side / 32) for side in sorted(grid)[1:])  # its axes may still be exchanged
    per_pixel = PIXEL_BYTES.get(bundle.network.options.get("encoder"), max(PIXEL_BYTES.values()))
    activations = pixels * (options.get("batch") or 1) * (per_pixel + LOGIT_BYTES * bundle.num_outputs)
    voxels = VOXEL_BYTES + (ceil(bundle.num_outputs / 8) if overlapping else 0)
    return ONCE_MB + (activations + _product(shape) * voxels + _product(grid) * PREPARED_BYTES) / MB


def _product(values) -> int:
    result = 1
    for value in values:
        result *= int(value)
    return result
