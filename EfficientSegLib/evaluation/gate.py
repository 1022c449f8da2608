"""Measures whether a bundle's labels bear bfloat16: the same volumes in both precisions, with its own weights."""

from collections.abc import Mapping
from datetime import date

import numpy as np
import torch

from EfficientSegLib import devices
from EfficientSegLib.bundle import Bundle
from EfficientSegLib.errors import DeviceError, VolumeError
from EfficientSegLib.gate import Gate
from EfficientSegLib.segment import load_model, segment
from EfficientSegLib.volume import Volume


def measure(bundle: Bundle, volumes: Mapping[str, Volume], backend: str = "torch", device: str = "cpu") -> Gate:
    """Segment every volume in float32 and in bfloat16, the bundle's way, and compare the labels.

    Args:
        volumes: by name, one or more; labels that none of them shows stay unverified.
        device: where both run; it must calculate in bfloat16 by itself.

    Raises:
        DeviceError: the device only imitates bfloat16; its rounding need not be the hardware's.
        VolumeError: no label was found in any volume.
        EfficientSegError: the bundle or a volume cannot be used.
    """
    reason = devices.why_no_bfloat16(device)
    if reason is not None:
        raise DeviceError("bfloat16 cannot be measured here.", why=reason, mend="Measure it on another machine.")
    found: dict[str, list[np.ndarray]] = {name: [] for name in volumes}
    for precision in ("fp32", "bf16"):
        model = load_model(bundle, device, precision, backend)
        for name, volume in volumes.items():
            found[name].append(segment(volume, bundle, model).labels)
    compared = [compare(*pair) for pair in found.values()]
    dice = [(value, score) for _, scores in compared for value, score in scores.items()]
    if not dice:
        raise VolumeError(
            "No structure of this bundle was found in any of the volumes.",
            why="Agreement on nothing says nothing.",
            mend="Measure on volumes that show what the bundle segments.",
        )
    return Gate(
        precision="bf16",
        backend=backend,
        weights_sha256=bundle.weights.sha256,
        agreement=round(min(agreement for agreement, _ in compared), 6),
        lowest_dice=round(min(score for _, score in dice), 6),
        labels=tuple(sorted({value for value, _ in dice})),
        on=tuple(volumes),
        measured=f"{date.today().isoformat()}, torch {torch.__version__}",
    )


def compare(one: np.ndarray, other: np.ndarray) -> tuple[float, dict[int, float]]:
    """Share of voxels with equal labels, and the Dice of each label that occurs in one of two label maps (I, J, K)."""
    scores = {}
    for value in sorted((set(np.unique(one).tolist()) | set(np.unique(other).tolist())) - {0}):
        first, second = one == value, other == value
        scores[value] = 2 * int((first & second).sum()) / (int(first.sum()) + int(second.sum()))
    return float((one == other).mean()), scores
