"""The parts of a plan for networks of slices; the values are SegMate's."""

from typing import Any

from EfficientSegLib import networks
from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import Index
from EfficientSegLib.networks.slice_parts.sizes import SIZE_MULTIPLE
from EfficientSegLib.training.plan_basis import Choices, Measured, Parts, between_validations, has_a_lone_side

NETWORKS = ("segmate", "segmate_vanilla")
CT_WINDOW = (-1000.0, 400.0)  # of SegMate's code; its paper says 2000 above
TO = (-1.0, 1.0)  # of the window: the published second normalisation without its slip
LEARNING_RATE, WEIGHT_DECAY = 2e-4, 1e-4  # the paper's
LIGHT_RATE = 2e-3  # of the light encoder, which is small and begins with random weights
VALIDATIONS = 50  # in a training
LONGEST = 512  # pixels of a slice's side
WHOLE = 4_000_000  # voxels up to which a case is cut for slices as a whole
PART = 16  # slices that are cut from a larger one at a time: a batch needs few of each


def parts_for_slices(choices: Choices, measured: Measured, given: dict[str, Any]) -> Parts:
    """SegMate or its plain counterpart; `given` is the plan so far.

    Raises:
        OptionError: a choice does not fit.
    """
    _check(choices)
    intensity = measured.intensity(CT_WINDOW, TO)
    network = {"name": choices.network, "options": _network(choices)}
    networks.check(**network)
    pad_value = TO[0] if measured.modality == "CT" else measured.lowest_normal
    bundle = {
        "preprocess": {**measured.preprocess(intensity), "native_slices": True},
        "outputs": "independent",
        "network": network,
        "strategy": {"name": "slices", "options": {"pad_value": pad_value}},
    }
    return bundle, {
        "recipe": {"name": "segmate", "options": {}},
        "samples": {"name": "slices", "options": {"mirror": 0.0} if has_a_lone_side(given) else {}},
        "largest": choices.largest or _largest(measured),
        "learning_rate": LIGHT_RATE if choices.encoder == "light" else LEARNING_RATE,
        "weight_decay": WEIGHT_DECAY,
        **_schedule(given),
    }


def _check(choices: Choices) -> None:
    for name in ("patch_size", "downsampling"):
        if getattr(choices, name) is not None:
            raise OptionError(
                f"{name} is {getattr(choices, name)}.",
                why=f"{choices.network!r} reads whole slices, no patches and no overview.",
                mend="Leave it out.",
            )


def _network(choices: Choices) -> dict[str, Any]:
    options: dict[str, Any] = {"encoder": choices.encoder}
    if choices.network != "segmate":
        return options
    # Beside the light encoder, the paper's decoder would be most of the network.
    return {**options, **({"width": 0.5} if choices.encoder == "light" else {}), "deep_supervision": True}


def _largest(measured: Measured) -> Index:
    sides = [
        -(-min(length, LONGEST) // multiple) * multiple
        for length, multiple in zip(measured.sizes.largest, SIZE_MULTIPLE)
    ]
    slices = max(case.shape[2] for case in measured.seen)  # the scans' own
    return (*sides, slices if sides[0] * sides[1] * slices <= WHOLE else PART)


def _schedule(given: dict[str, Any]) -> dict[str, Any]:
    """The paper's, which needs validations; the usual one where no case is left for them."""
    if not given["validation"]:
        return {}
    return {
        "schedule": {"name": "plateau", "options": {}},
        "validation_every": between_validations(given, VALIDATIONS),
    }
