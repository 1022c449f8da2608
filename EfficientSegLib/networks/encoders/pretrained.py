"""Weights that others trained on photographs, for users who ask for them by name and have seen their licence.

Nothing in this library calls this by itself, and no bundle carries such weights unless its author put them there.
"""

from functools import partial
from importlib import import_module
from pathlib import Path

import torch
from torch import nn

from EfficientSegLib.errors import OptionError
from EfficientSegLib.networks import encoders
from EfficientSegLib.networks.encoders import from_timm
from EfficientSegLib.networks.encoders.from_timm import Pretrained


def weights_of(name: str) -> Pretrained:
    """Which weights there are for an encoder of `ENCODERS`, and under what licence.

    Raises:
        OptionError: there are none.
    """
    encoders.check(name)
    known = getattr(import_module(encoders.ENCODERS[name]), "PRETRAINED", None)
    if known is None:
        raise OptionError(
            f"There are no pretrained weights for the encoder {name!r}.",
            why="Nobody trained it on other images.",
            mend="Train it from random weights.",
        )
    return known


def load(encoder: nn.Module, name: str, file: Path | None = None) -> None:
    """Give `encoder`, built by that name, its pretrained weights; the three colours of its first layer are summed.

    Args:
        encoder: is changed in place.
        name: a key of `ENCODERS`.
        file: the weights, downloaded before (.pth or .safetensors); None downloads them from Hugging Face, which needs
            the package huggingface_hub.

    Raises:
        OptionError: there are no such weights, the file is missing or of another network, or they cannot be downloaded.
        DeviceError: timm is missing or does not work here.
    """
    weights = weights_of(name)
    if file is not None and not file.is_file():
        raise OptionError(
            f"The file {file} is not there.",
            why=f"It should hold the weights {weights.name}.",
            mend="Correct the path, or leave it out to download them.",
        )
    create = partial(
        from_timm.import_timm().create_model,
        weights.name,
        features_only=True,
        in_chans=1,
        out_indices=encoder.levels,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        random = create(pretrained=False)
        torch.manual_seed(0)
        try:
            body = create(pretrained=True, pretrained_cfg_overlay={"file": str(file)} if file else {})
        except Exception as error:  # networks and unpicklers fail in too many ways to name
            raise _not_loaded(weights, file, f"{type(error).__name__}: {error}") from error
    still_random = _equal_weights(body, random)
    if still_random:  # timm passes over what is missing
        raise _not_loaded(weights, file, f"There is no {still_random[0]} in it.")
    encoder.body.load_state_dict(body.state_dict())


def _equal_weights(loaded: nn.Module, random: nn.Module) -> list[str]:
    """Names of the weights that are the same in both; those that begin as one constant prove nothing."""
    drawn = {name: weight for name, weight in random.named_parameters() if weight.min() < weight.max()}
    return [name for name, own in loaded.named_parameters() if name in drawn and torch.equal(own, drawn[name])]


def _not_loaded(weights: Pretrained, file: Path | None, why: str) -> OptionError:
    return OptionError(
        f"The weights {weights.name} could not be {f'loaded from {file}' if file else 'downloaded'}.",
        why=why,
        mend="Check the network and the package huggingface_hub, or name a file with these weights downloaded before.",
    )
