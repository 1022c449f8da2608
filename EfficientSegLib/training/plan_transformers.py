"""What a plan for STP + MTA + UNETR or Swin SMT has of its own: its papers' values, its networks one size smaller.

The papers' networks have 107 and 171 million parameters and were trained on several GPUs for days. Planned are the same
systems with narrower transformers, which a CPU can train; without `width`, `heads`, `feature_size` and `experts` in the
options of the network, they are the papers'.
"""

from math import prod
from typing import Any

from EfficientSegLib.geometry import Index
from EfficientSegLib.networks.tokens.sampling import smallest_count
from EfficientSegLib.training.plan_basis import Window

RATIOS = (0.9, 0.75, 0.5)  # of tokens dropped at each pruning: the paper's two, then less for smaller patches
PRUNINGS, TOKEN = 3, 8
PLACES_OFF = {"translation": 0.0, "affine": 0.0, "distortion": 0.0}
VALUES_OFF = {name: 0.0 for name in ("noise", "smooth", "coarse", "gamma", "inverted_gamma")}
WHOLE = {"dice_weight": 1.0, "ce_weight": 1.0}

LONGEST = {"stp_unetr": 96, "swin_smt": 128}  # voxels of the papers' patches
LEAST = {"stp_unetr": (32, 32, 32), "swin_smt": (32, 32, 64), "swin_unetr": (32, 32, 64)}  # in ascending order
WINDOWS = {"stp_unetr": Window((-958.0, 326.0), (-1.0, 1.0)), "swin_smt": Window((-1024.0, 1024.0), (0.0, 1.0))}
NETWORKS = tuple(LONGEST)


def network_options(name: str, patch: Index) -> dict[str, Any]:
    """Options of the network for patches of this size, in voxels."""
    if name == "swin_smt":
        return {"feature_size": 24, "experts": 8}
    return {"patch_size": patch, "prune_ratio": _ratio(patch), "width": 384, "heads": 6, "drop_path": 0.1}


def _ratio(patch: Index) -> float:
    """The highest of `RATIOS` that leaves a token; of `LEAST` voxels, the last one does."""
    tokens = prod(length // TOKEN for length in patch)
    return next((ratio for ratio in RATIOS if tokens >= smallest_count(ratio, PRUNINGS)), RATIOS[-1])


def training(name: str, patch: Index, may_mirror: bool) -> dict[str, Any]:
    """Recipe, samples and optimiser, for the configuration.

    Args:
        may_mirror: no label tells a side without having a counterpart.

    Source: STP + MTA + UNETR (arXiv 2303.06522) and Swin SMT (arXiv 2407.07514). The first's learning rate is
    1.72e-2 x batch / 256 of AdamW for its batch of 2, its warm-up 50 epochs of 5000; the second does not tell how
    long its warm-up was, nor does it flip.
    """
    recipe = {"patch_size": patch, **WHOLE}
    still = {**PLACES_OFF, **VALUES_OFF}
    if name == "swin_smt":
        changes = {"zoom": 0.3, "quarter_turn": 0.1, "gain": 0.0, "shift": 0.2, "shift_limit": 0.1}
        return {
            "recipe": {"name": "patch", "options": recipe},
            "samples": {"name": "volume", "options": {**still, **changes}},
            "learning_rate": 1e-4,
            "weight_decay": 1e-5,
            "warm_up": 0.05,
        }
    flips = {"mirror": 0.2 if may_mirror else 0.0, "flip_front": 0.2, "flip_top": 0.2, "quarter_turn": 0.2}
    values = {"gain": 0.1, "gain_limit": 0.1, "shift": 0.1, "shift_limit": 0.1}
    return {
        "recipe": {"name": "patch", "options": {**recipe, "patches": 4, "squared": True}},
        "samples": {"name": "volume", "options": {**still, **flips, **values}},
        "learning_rate": 1.34e-4,
        "layer_decay": 0.75,
        "betas": (0.9, 0.95),
        "weight_decay": 0.05,
        "decayed": "weights",
        "warm_up": 0.01,
    }
