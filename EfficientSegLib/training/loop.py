"""The training loop: iterations, checkpoints, validation and pictures; it ends by writing a bundle."""

import dataclasses
import logging
import os
import time
from pathlib import Path

import torch

from EfficientSegLib import devices
from EfficientSegLib.errors import TrainingError
from EfficientSegLib.training import checkpoint, encoder_weights, processes
from EfficientSegLib.training.config import TrainConfig, check, read_config
from EfficientSegLib.training.export import write_bundle
from EfficientSegLib.training.interruption import Interrupted, Interruption
from EfficientSegLib.training.journal import Journal
from EfficientSegLib.training.optimisation import Run
from EfficientSegLib.training.processes import Place
from EfficientSegLib.training.sampling import Sampling
from EfficientSegLib.training.schedule import is_due
from EfficientSegLib.training.validation import BEST, Validation, best_of, best_state

log = logging.getLogger(__name__)
DEVICES = ("auto", "cpu", "cuda")


def train_from_file(
    config_path: str | os.PathLike,
    data_folder: str | os.PathLike,
    output_folder: str | os.PathLike,
    resume: bool = True,
    processes: int | None = None,
    device: str = "cpu",
    tensorboard: bool = False,
    pretrained_encoder: bool | str | os.PathLike = False,
) -> Path:
    """Train as a JSON file says; returns the bundle's folder. See `train`.

    Args:
        pretrained_encoder: the user asks for an encoder that others have trained: from this file, or True to download
            it or to take what the configuration names.
    """
    config = read_config(config_path)
    if pretrained_encoder is not False and (config.encoder_weights is None or pretrained_encoder is not True):
        file = None if pretrained_encoder is True else pretrained_encoder
        weights = encoder_weights.asked_for(config.template.network, file)
        config = dataclasses.replace(config, encoder_weights=weights)
    if processes is not None and processes != config.processes:
        raise TrainingError(
            f"{processes} processes were asked for; {config_path} is a training with {config.processes}.",
            why="Each process adds a sample to every iteration, so the number belongs to the training.",
            mend="Change processes in the file, or leave the option out.",
        )
    return train(config, data_folder, output_folder, resume, device, tensorboard, pretrained_encoder is not False)


def train(
    config: TrainConfig,
    data_folder: str | os.PathLike,
    output: str | os.PathLike,
    resume: bool = True,
    device: str = "cpu",
    tensorboard: bool = False,
    pretrained_encoder: bool = False,
) -> Path:
    """Train a model and write its bundle to `output`/bundle.

    On Ctrl-C or SIGTERM the iteration is finished, a checkpoint written, and KeyboardInterrupt raised.

    Args:
        data_folder: what the paths of the cases are relative to.
        output: checkpoint, tables, pictures and bundle go here.
        resume: go on from the checkpoint in `output`, if there is one; otherwise it is overwritten.
        device: "auto" (the GPU if there is one that works), "cpu" or "cuda"; it is no part of the training, which may
            go on on another one.
        tensorboard: write event files too.
        pretrained_encoder: the user has asked for the `encoder_weights` of the configuration; without it they are
            refused. Nothing else is ever downloaded.

    Raises:
        OptionError, BundleError: the configuration says what cannot be.
        TrainingError: a folder is missing or may not be written, a loss is not a number, the checkpoint is of another
            training, or the disk is full.
        DeviceError: the device is not there, or does not work.
        VolumeError: a case cannot be read.
        KeyboardInterrupt: after Ctrl-C or SIGTERM.
    """
    check(config)
    encoder_weights.check(config.encoder_weights, config.template.network, pretrained_encoder)
    data_folder, output = Path(data_folder), Path(output)
    _check_folders(data_folder, output)
    arguments = (config, data_folder, output, resume, tensorboard)
    return processes.run(_train, arguments, config.processes, choose_device(device))


def choose_device(name: str) -> str:
    """ "cuda" or "cpu".

    Raises:
        DeviceError: the device asked for is unknown, absent or does not work.
    """
    chosen = devices.choose(name)
    return chosen if chosen in DEVICES else "cpu"


def _check_folders(data_folder: Path, output: Path) -> None:
    if not data_folder.is_dir():
        raise TrainingError(
            f"The data folder {data_folder} is not there.",
            why="The paths of the cases begin in it.",
            mend="Check its path.",
        )
    # Nothing is made yet, as the training may still be refused: the folder comes with the first table.
    there = next((folder for folder in (output, *output.parents) if os.path.exists(folder)), Path.cwd())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise TrainingError(
            f"The output folder {output} may not be written to.",
            why=f"{there} is {'closed to you' if there.is_dir() else 'a file'}.",
            mend="Choose another folder, or ask its owner for the right to write.",
        )


def _train(place: Place, config: TrainConfig, data_folder: Path, output: Path, resume: bool, tensorboard: bool) -> Path:
    if place.count > 1:
        torch.set_num_threads(max((os.cpu_count() or 1) // place.count, 1))
    state = checkpoint.load(output, config.fingerprint) if resume else None
    with Interruption() as interruption:
        run = Run(config, data_folder, place, fresh=state is None)
        if state:
            run.load(state)
            log.info("Going on from step %d, after %.1f minutes of training.", run.course.step, run.course.seconds / 60)
        best = best_of(state)
        validation = None if config.validation_every is None else Validation(run, data_folder, output, best)
        sampling = Sampling.of(run, data_folder, output, keep=state is not None)
        with Journal(output, run.course, tensorboard, silent=place.rank > 0) as journal:
            _iterate(run, output, journal, validation, sampling, interruption)
    if place.rank == 0:
        best_step = validation.best.step if validation else 0
        _write(run, output, best_step)
        log.info("Written: %s", output / "bundle")
    return output / "bundle"


def _iterate(
    run: Run,
    output: Path,
    journal: Journal,
    validation: Validation | None,
    sampling: Sampling | None,
    interruption: Interruption,
) -> None:
    """All that is left of the iterations, and what is done between them; at the end there is a checkpoint."""
    config, place = run.config, run.place
    saved = time.monotonic()
    if sampling and not run.course.step:
        sampling.record()
    while not run.course.ended:
        before = run.course
        terms = run.step()
        journal.step(before, run.course, terms, run.rate)
        if validation and is_due(config.validation_every, before, run.course):
            journal.validation(run.course, validation())
        if sampling and is_due(config.picture_every, before, run.course):
            sampling.record()
        save = time.monotonic() - saved > 60 * config.checkpoint_minutes
        save, stop = processes.any_of((save, interruption.asked), place)
        if save or stop:
            _save(run, validation, output)
            saved = time.monotonic()
        if stop:
            journal.close()  # the bar's line is ended before words follow it
            if place.rank == 0:
                log.warning(
                    "Stopped after %d iterations. They are kept: the same command goes on from here.",
                    run.course.step,
                )
            raise Interrupted
    _save(run, validation, output)


def _save(run: Run, validation: Validation | None, output: Path) -> None:
    processes.check_same(run.sum_of_weights(), run.place)
    if run.place.rank == 0:
        best = best_state(validation.best) if validation else {}
        checkpoint.save({**run.state(), **best}, output)


def _write(run: Run, output: Path, best_step: int) -> None:
    """The bundle, from the last or the best model."""
    config = run.config
    parameters, provenance = run.model.state_dict(), {"bundle_from": "last"}
    if config.bundle_from != "last" and best_step:
        state = checkpoint.load(output, config.fingerprint, BEST)
        parameters, provenance = state["model"], {"bundle_from": "best", "best_step": best_step}
    write_bundle(config, parameters, run.course, output / "bundle", provenance)
