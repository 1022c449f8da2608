"""From trained parameters to a bundle."""

import dataclasses
import io
import os
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from EfficientSegLib import bundle as bundles
from EfficientSegLib.networks.compact import halved, pack
from EfficientSegLib.training import checkpoint
from EfficientSegLib.training.config import TrainConfig
from EfficientSegLib.training.encoder_weights import with_licence
from EfficientSegLib.training.schedule import Course


def write_bundle(
    config: TrainConfig,
    parameters: dict[str, Tensor],
    course: Course,
    folder: str | os.PathLike,
    choice: dict[str, Any] | None = None,
) -> Path:
    """Write `weights.pt` (half precision, or packed to 8 bits) and `bundle.json`; returns the folder.

    Args:
        parameters: state dictionary of the model, on any device.
        course: what was done.
        choice: which of the training's models this is, for the provenance.
    """
    folder = Path(folder)
    content = io.BytesIO()
    parameters = {name: tensor.cpu() for name, tensor in parameters.items()}
    stored = pack(parameters) if config.packed else halved(parameters)
    torch.save({name: value.contiguous() for name, value in stored.items()}, content)
    checkpoint.write(folder / "weights.pt", content.getbuffer())
    template = config.template
    licence = template.licence
    if config.encoder_weights is not None:
        licence = with_licence(licence, config.encoder_weights, template.network)
    weights = bundles.Weights("weights.pt", bundles.checksum(folder / "weights.pt"))
    provenance = {**provenance_of(config, course), **(choice or {}), **config.provenance}
    bundles.save(dataclasses.replace(template, weights=weights, licence=licence, provenance=provenance), folder)
    return folder


def provenance_of(config: TrainConfig, course: Course) -> dict[str, Any]:
    """Where the weights come from, as far as the training itself knows."""
    return {
        "trained": date.today().isoformat(),
        "recipe": config.recipe.name,
        "cases": len(config.cases),
        "iterations": course.step,
        "iterations_planned": config.iterations,
        "minutes": round(course.seconds / 60, 1),
        "minutes_planned": config.minutes,
        "samples": course.step * config.processes,
        "seed": config.seed,
        **({} if config.start is None else {"started_from": dataclasses.asdict(config.start)}),
        **({} if config.encoder_weights is None else {"encoder_weights": dataclasses.asdict(config.encoder_weights)}),
        "precision": config.precision,
        "packed": config.packed,
        "configuration_sha256": config.fingerprint,
        "torch": str(torch.__version__),
    }
