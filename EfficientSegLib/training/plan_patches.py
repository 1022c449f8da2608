"""The parts of a plan for networks that read patches; the values are NMSW's, or those of the network's own paper."""

from typing import Any

from EfficientSegLib import networks
from EfficientSegLib.geometry import Index
from EfficientSegLib.training import plan_transformers as transformers
from EfficientSegLib.training.plan_basis import (
    Choices,
    Measured,
    Parts,
    Sizes,
    Window,
    between_validations,
    has_a_lone_side,
)

CT_WINDOW = Window((-250.0, 500.0))  # the paper's
LONGEST_PATCH = 128  # voxels, the paper's
LONGEST_SAMPLE = 480  # voxels, the paper's
# Beyond the paper, and better than it on our data (Testing/benchmarks/results): scores that are told where the coarse
# pass is wrong, and an order that discounts what is covered already.
TEACHING, USUAL_PATCHES = 0.1, 20
WIDTHS = (32, 64, 128, 256, 320)  # channels of the paper's U-Net, level by level
DEEPEST = 3  # voxels per axis that the deepest level of a U-Net keeps, at least
VALIDATIONS = 20  # in a training: enough to see where it leads
COARSEST = 24  # voxels per axis that NMSW's overview keeps, at least


def parts_for_patches(choices: Choices, measured: Measured, given: dict[str, Any]) -> Parts:
    """NMSW, or a network that reads patches; `given` is the plan so far.

    Raises:
        OptionError: a choice does not fit.
    """
    window = transformers.WINDOWS.get(choices.network, CT_WINDOW)
    pad_value = window.to[0] if measured.modality == "CT" else measured.lowest_normal
    network, patch, multiple = _network(choices, measured.sizes)
    bundle = {
        "preprocess": measured.preprocess(measured.intensity(*window)),
        "network": network,
        "strategy": _strategy(choices, patch, pad_value),
    }
    others: dict[str, Any] = {"largest": choices.largest or _largest(choices, measured.sizes, patch, multiple)}
    if given["validation"]:
        others["validation_every"] = between_validations(given, VALIDATIONS)
    if choices.network in transformers.NETWORKS:
        return bundle, {**others, **transformers.training(choices.network, patch, not has_a_lone_side(given))}
    return bundle, {
        "recipe": {"name": "nmsw", "options": {"teaching": TEACHING}}
        if choices.network == "nmsw"
        else {"name": "patch", "options": {"patch_size": patch}},
        "samples": {"name": "volume", "options": {}},
        **others,
        "learning_rate": 3e-4,
        "warm_up": 0.1,
    }


def _network(choices: Choices, sizes: Sizes) -> tuple[dict[str, Any], Index, Index]:
    """The network, its patch, and what the axes of samples are multiples of."""
    is_nmsw = choices.network == "nmsw"
    backbone = choices.local if is_nmsw else choices.network
    # NMSW chooses among patches, so that a volume must hold several along each axis.
    longest = transformers.LONGEST.get(backbone, LONGEST_PATCH)
    wanted = choices.patch_size or tuple(min(n // 2 if is_nmsw else n, longest) for n in sizes.median)
    options = _unet(min(wanted)) if backbone == "unet" else {}
    multiple = networks.read_for_patches(backbone, options).size_multiple
    patch = choices.patch_size or _patch(wanted, multiple, backbone)
    options = _options(backbone, patch, min(wanted))
    networks.check_patch(backbone, options, patch)
    if not is_nmsw:
        return {"name": backbone, "options": options}, patch, multiple
    factor = choices.downsampling or tuple(min(max(n // COARSEST, 1), 3) for n in sizes.median)
    nmsw = {
        "global_options": _unet(min(n // f for n, f in zip(sizes.median, factor))),
        "local_backbone": backbone,
        "local_options": options,
        "patch_size": patch,
        "downsampling": factor,
    }
    return {"name": "nmsw", "options": nmsw}, patch, networks.read("nmsw", nmsw).size_multiple


def check_patch(choices: Choices) -> None:
    """Refuse a chosen patch that the network cannot read; nothing of the data set need be known for it.

    Raises:
        OptionError: it cannot, and the message names a size that it can; or the network reads no patches at all.
    """
    name, patch = choices.local if choices.network == "nmsw" else choices.network, choices.patch_size
    if patch is None:
        networks.read_for_patches(name, {})
    else:
        networks.check_patch(name, _options(name, patch, min(patch)), patch)


def _options(name: str, patch: Index, shortest: int) -> dict[str, Any]:
    """Of a network that reads patches; `shortest` is what its shortest axis was to be before it was rounded."""
    if name in transformers.NETWORKS:
        return transformers.network_options(name, patch)
    return _unet(shortest) if name == "unet" else {}


def _patch(wanted: Index, multiple: Index, backbone: str) -> Index:
    """The smallest patch that holds what is wanted and that the network takes."""
    patch = [max(-(-n // m) * m, m) for n, m in zip(wanted, multiple)]
    ascending = sorted(range(3), key=lambda axis: patch[axis])
    for axis, least in zip(ascending, transformers.LEAST.get(backbone, multiple)):
        patch[axis] = max(patch[axis], least)
    return tuple(patch)


def _unet(shortest: int) -> dict[str, Any]:
    """As deep as the paper's, or as deep as the shortest axis allows."""
    levels = 2
    while levels < len(WIDTHS) and 2 ** (levels + 1) * DEEPEST <= shortest:
        levels += 1
    widths = WIDTHS[:levels]
    return {"channels": [*widths, widths[-1]], "strides": [*[2] * levels, 1]}


def _largest(choices: Choices, sizes: Sizes, patch: Index, multiple: Index) -> Index:
    """NMSW looks at whole volumes; of others a part with room for a few patches is enough, and cheaper."""
    wanted = sizes.largest if choices.network == "nmsw" else tuple(min(2 * p, n) for p, n in zip(patch, sizes.largest))
    return tuple(-(-max(min(n, LONGEST_SAMPLE), p) // m) * m for n, p, m in zip(wanted, patch, multiple))


def _strategy(choices: Choices, patch: Index, pad_value: float) -> dict[str, Any]:
    if choices.network == "nmsw":
        return {
            "name": "nmsw",
            "options": {"top_k": USUAL_PATCHES, "clip_top_k": True, "order": "coverage", "pad_value": pad_value},
        }
    return {"name": "sliding_window", "options": {"patch_size": patch, "pad_value": pad_value}}
