"""How long the end of a run will take, behind its labels: rehearsed on a part of the first labels, and scaled.

Cleaning, review and the sums of the run record take as long as there are voxels, surfaces and changes; how long, only
this machine can tell. What refinement will change is not known when the first labels are there: taken is what changes
if the labels move by a voxel, which is their surfaces, and in noise nearly everything.
"""

import time
from collections.abc import Callable

import numpy as np

from EfficientSegLib.bundle import Bundle
from EfficientSegLib.geometry import PatchBox
from EfficientSegLib.postprocess import clean
from EfficientSegLib.preprocess import Prepared
from EfficientSegLib.record import volumes_ml, voxel_checksum
from EfficientSegLib.review.evidence import count_labels, doubts, place_cells
from EfficientSegLib.strategies.reading import Reading

SAMPLE = 1 << 20  # voxels that are rehearsed on


def rehearsed(
    array: np.ndarray, work: Callable[[np.ndarray], object], axis: int = 0, now: Callable[[], float] = time.perf_counter
) -> float:
    """Seconds that work on a whole array (I, J, K) would take, from those on its middle along an axis.

    The work is done twice, and the faster time counts: the first pays for what is set up once.
    """
    length = array.shape[axis]
    if not array.size:
        return 0.0
    thick = min(max(round(SAMPLE * length / array.size), 1), length)
    start = (length - thick) // 2
    part = array[(*(slice(None),) * axis, slice(start, start + thick))]
    times = []
    for _ in range(2):
        began = now()
        work(part)
        times.append(now() - began)
    return min(times) * length / thick


def cleaning(labels: np.ndarray, bundle: Bundle) -> float:
    """Seconds to clean labels (I, J, K), which stay as they are."""
    if not bundle.postprocess.largest_component:
        return 0.0
    return rehearsed(labels, lambda part: clean(np.ascontiguousarray(part).copy(), bundle.postprocess))


def reviewing(
    labels: np.ndarray, reading: Reading, prepared: Prepared, bundle: Bundle, region: PatchBox | None = None
) -> float:
    """Seconds to review a run whose labels are (I, J, K) before its patches are read."""
    places = place_cells(labels.shape, prepared, reading.overview.grid[0].shape)
    began = time.perf_counter()
    doubts(reading, prepared, places, bundle, region)
    seconds = time.perf_counter() - began

    def count(part: np.ndarray) -> None:
        moved = np.roll(part, 1, axis=0)
        count_labels(part, lambda start, stop: moved[start:stop], [], prepared, reading, bundle)

    return seconds + rehearsed(labels, count)


def recording(labels: np.ndarray, scan: np.ndarray, bundle: Bundle) -> float:
    """Seconds for the sums of the run record, of labels (I, J, K) on a scan (C, I, J, K)."""
    sums = rehearsed(labels, lambda part: volumes_ml(part, (1.0, 1.0, 1.0), bundle))
    return sums + len(scan) * rehearsed(scan[0], lambda part: voxel_checksum(part[None]), axis=2)
