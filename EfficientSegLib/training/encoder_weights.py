"""Encoders that begin with what others have trained on photographs: only where a user asks for it, licence shown."""

import logging
import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from torch import nn

from EfficientSegLib import networks
from EfficientSegLib.bundle import Component, Licence, checksum
from EfficientSegLib.errors import EfficientSegError, OptionError, TrainingError
from EfficientSegLib.networks.encoders import pretrained
from EfficientSegLib.networks.encoders.from_timm import Pretrained
from EfficientSegLib.options import read_options
from EfficientSegLib.training import processes
from EfficientSegLib.training.processes import Place

log = logging.getLogger(__name__)
FLAG = "--pretrained-encoder"


@dataclass(frozen=True)
class EncoderWeights:
    """The weights that an encoder begins with, instead of chance. Naming them is not asking for them: see `check`."""

    name: str  # timm's, its tag included
    file: str | None = None  # .pth or .safetensors, downloaded before; null: downloaded now, from Hugging Face
    sha256: str | None = None  # of the file


def asked_for(network: Component, file: str | os.PathLike | None) -> EncoderWeights:
    """The weights that there are for a network.

    Args:
        file: where they lie; None: they are downloaded.

    Raises:
        OptionError: there are none for this network, or the file is missing.
    """
    known = published(network)
    if file is None:
        return EncoderWeights(known.name)
    if not Path(file).is_file():
        raise OptionError(
            f"The file {file} is not there.", why=f"It should hold the weights {known.name}.", mend="Correct its path."
        )
    return EncoderWeights(known.name, str(file), checksum(file))


def published(network: Component) -> Pretrained:
    """Name and licence of the weights for a network's encoder.

    Raises:
        OptionError: the network has no encoder, or nobody has published weights of it.
    """
    return pretrained.weights_of(_encoder(network))


def _encoder(network: Component) -> str:
    options = read_options(import_module(networks.NETWORKS[network.name]).Options, network.options)
    if not hasattr(options, "encoder"):
        raise OptionError(
            f"The network {network.name!r} has no encoder that others have trained.",
            why="Only networks of slices read single images, as photographs are.",
            mend=f"Leave out {FLAG} and encoder_weights, or use network 'segmate'.",
        )
    return options.encoder


def check(weights: EncoderWeights | None, network: Component, asked: bool) -> None:
    """Refuse weights that do not fit, or that nobody has asked for; show what they are and their licence.

    Raises:
        OptionError: they are not those of the network's encoder.
        TrainingError: the configuration names them, and the user has not asked for them.
    """
    if weights is None:
        return
    known = published(network)
    if weights.name != known.name:
        raise OptionError(
            f"encoder_weights names {weights.name}.", why=f"Those of this encoder are {known.name}.", mend="Use these."
        )
    if not asked:
        raise TrainingError(
            f"The training wants its encoder to begin with {known.name}, which others have trained.",
            why=f"Their licence is {known.licence}, and using them is for you to decide.",
            mend=f"Add {FLAG} to accept it, or remove encoder_weights from the configuration.",
        )
    log.warning(
        "The encoder begins with %s (timm). Licence: %s. It holds for the trained bundle too. %s The three colours of "
        "its first layer are summed to one.",
        known.name,
        known.licence,
        "Downloading from Hugging Face." if weights.file is None else f"Read from {weights.file}.",
    )


def load(model: nn.Module, weights: EncoderWeights, network: Component, place: Place) -> None:
    """Give the encoder its weights, in the first process; the others get them from it when they join.

    Raises:
        OptionError, DeviceError, TrainingError: they cannot be had, or the file is not the one that was named; in all
            processes.
    """
    trouble: EfficientSegError | None = None
    if place.rank == 0:
        try:
            _load(model, weights, network)
        except EfficientSegError as error:
            trouble = error
    if processes.any_of([trouble is not None], place)[0]:
        raise next(error for error in processes.gather(trouble, place) if error is not None)


def _load(model: nn.Module, weights: EncoderWeights, network: Component) -> None:
    file = None if weights.file is None else Path(weights.file)
    if file is not None and file.is_file() and weights.sha256 not in (None, checksum(file)):
        raise TrainingError(
            f"{file} has checksum {checksum(file)[:12]}….",
            why=f"This training begins with {weights.sha256[:12]}….",
            mend="Name the right file, or correct encoder_weights.sha256: it is then another training.",
        )
    pretrained.load(model.encoder, _encoder(network), file)


def with_licence(licence: Licence, weights: EncoderWeights, network: Component) -> Licence:
    """A bundle's licence, that of the encoder's first weights told too."""
    own = f"{licence.weights}; the encoder began with {weights.name} (timm): {published(network).licence}"
    return Licence(own, licence.data, licence.use)
