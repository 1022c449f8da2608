"""Several processes that train one model: each reads its own samples, the gradients are averaged.

The first process is the one that was called; it starts the others. Under torchrun all of them exist already.
"""

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

from EfficientSegLib.errors import EfficientSegError, TrainingError


@dataclass(frozen=True)
class Place:
    """Which process this is."""

    rank: int
    count: int


def run(work: Callable[..., Any], arguments: tuple, count: int) -> Any:
    """Call `work(Place, *arguments)` in `count` processes; the result is that of the first.

    Raises:
        TrainingError: what the first process raises, or one of the others ended early.
    """
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        if int(os.environ["WORLD_SIZE"]) != count:
            raise TrainingError(
                f"{os.environ['WORLD_SIZE']} processes were started.",
                why=f"This training is one with {count}: each adds a sample to every iteration.",
                mend=f"Start {count}, or change processes in the configuration.",
            )
        distributed.init_process_group("gloo")
        try:
            return work(Place(distributed.get_rank(), count), *arguments)
        finally:
            distributed.destroy_process_group()
    if count == 1:
        return work(Place(0, 1), *arguments)
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        meeting = (Path(folder) / "meeting").as_uri()
        others = [
            context.Process(target=_follow, args=(work, arguments, rank, count, meeting), daemon=True)
            for rank in range(1, count)
        ]
        for process in others:
            process.start()
        try:
            return _join(work, arguments, 0, count, meeting)
        except RuntimeError as error:
            others[0].join(timeout=2)
            if all(process.is_alive() for process in others):
                raise
            raise TrainingError(
                "One of the training's processes ended early.",
                why=f"{error}"[:300],
                mend="Start the same command again: it goes on from the last checkpoint. If it recurs, use 1 process.",
            ) from error
        finally:
            for process in others:
                process.join(timeout=10)
                if process.is_alive():
                    process.terminate()


def _join(work: Callable, arguments: tuple, rank: int, count: int, meeting: str) -> Any:
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=count)
    try:
        return work(Place(rank, count), *arguments)
    finally:
        distributed.destroy_process_group()


def _follow(work: Callable, arguments: tuple, rank: int, count: int, meeting: str) -> None:
    try:
        _join(work, arguments, rank, count, meeting)
    except (EfficientSegError, RuntimeError) as error:
        # The first process sees the same failure, or the broken connection, and reports it; this one just ends.
        raise SystemExit(1) from error


def average(tensors: Iterable[Tensor], place: Place) -> list[Tensor]:
    """Means over the processes, of tensors of any shapes, in one exchange."""
    tensors = list(tensors)
    if place.count == 1:
        return tensors
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    distributed.all_reduce(flat)
    flat /= place.count
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors)]


def gather(item: Any, place: Place) -> list[Any]:
    """The item of every process, in order."""
    if place.count == 1:
        return [item]
    items: list[Any] = [None] * place.count
    distributed.all_gather_object(items, item)
    return items
