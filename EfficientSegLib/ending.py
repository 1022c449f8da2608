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
SLABS = 4  # that they lie in: the middle of a scan is not like its ends


def rehearsed(
    array: np.ndarray, work: Callable[[np.ndarray], object], axis: int = 0, now: Callable[[], float] = time.perf_counter
) -> float:
    """Seconds that work on a whole array (I, J, K) would take, from those on slabs spread along an axis.

    The work is done twice, and the faster time counts: the first pays for what is set up once.
    """
    if not array.size:
        return 0.0
    length = array.shape[axis]
    number = SLABS if length >= 4 * SLABS else 1
    thick = min(max(round(SAMPLE * length / array.size / number), 1), length // number)
    starts = [round((slab + 0.5) * length / number - thick / 2) for slab in range(number)]
    parts = [array[(*(slice(None),) * axis, slice(start, start + thick))] for start in starts]
    return _seconds(lambda: [work(part) for part in parts], now) * length / (thick * number)


def _seconds(work: Callable[[], object], now: Callable[[], float] = time.perf_counter) -> float:
    times = []
    for _ in range(2):
        began = now()
        work()
        times.append(now() - began)
    return min(times)


def cleaning(labels: np.ndarray, bundle: Bundle) -> float:
    """Seconds to clean labels (I, J, K), which stay as they are."""
    if not bundle.postprocess.largest_component:
        return 0.0
    # Thinned out: it goes by the boxes around the labels, which hold much more of the middle than of the rest.
    step = max(round((labels.size / SAMPLE) ** (1 / 3)), 1)
    part = np.ascontiguousarray(labels[::step, ::step, ::step])
    return _seconds(lambda: clean(part.copy(), bundle.postprocess)) * labels.size / max(part.size, 1)


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
