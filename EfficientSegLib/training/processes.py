"""Several processes that train one model: each reads its own samples, the gradients are averaged.

The first process is the one that was called; it starts the others. Under torchrun, on one machine or on several, all of
them exist already.
"""

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

# Before any group is made, and so here: this module keeps the group that it finds as default arguments.
# DistributedDataParallel imports it on its way; the group would then outlive `destroy_process_group`, and a thread of
# gloo's that is at work while the interpreter is taken down aborts the process.
import torch.distributed.nn.functional
from torch import Tensor, distributed

from EfficientSegLib.errors import DeviceError, EfficientSegError, TrainingError


@dataclass(frozen=True)
class Place:
    """Which process this is, and what it calculates on."""

    rank: int
    count: int
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


def run(work: Callable[..., Any], arguments: tuple, count: int, device: str = "cpu") -> Any:
    """Call `work(Place, *arguments)` in `count` processes; the result is that of the first.

    Args:
        device: "cpu" or "cuda"; with the latter each process of a machine has a GPU of its own.

    Raises:
        TrainingError: another number of processes was started, or one ended early.
        DeviceError: there are fewer GPUs than processes.
        EfficientSegError: what one of the processes raises.
    """
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        return _run_started(work, arguments, count, device)
    if count == 1:
        return work(Place(0, 1, own_device(device, 0)), *arguments)
    own_device(device, count - 1)
    return _start_and_run(work, arguments, count, device)


def own_device(device: str, local_rank: int) -> torch.device:
    """The device of one of a machine's processes.

    Raises:
        DeviceError: the machine has no such GPU.
    """
    if device != "cuda":
        return torch.device(device)
    there = torch.cuda.device_count()
    if local_rank >= there:
        raise DeviceError(
            f"{local_rank + 1} processes were asked for on this machine, which has {there} GPUs.",
            why="Each process needs a GPU of its own.",
            mend="Use fewer processes, more machines (torchrun --nnodes), or device 'cpu'.",
        )
    return torch.device("cuda", local_rank)


def _run_started(work: Callable, arguments: tuple, count: int, device: str) -> Any:
    """Under torchrun: RANK, WORLD_SIZE and LOCAL_RANK say who this is, MASTER_ADDR and MASTER_PORT where to meet."""
    if int(os.environ["WORLD_SIZE"]) != count:
        raise TrainingError(
            f"{os.environ['WORLD_SIZE']} processes were started.",
            why=f"This training is one with {count}: each adds a sample to every iteration.",
            mend=f"Start {count}, or change processes in the configuration.",
        )
    local_rank = int(os.environ.get("LOCAL_RANK", 0))
    return _join(work, arguments, int(os.environ["RANK"]), count, "env://", own_device(device, local_rank))


def _start_and_run(work: Callable, arguments: tuple, count: int, device: str) -> Any:
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        meeting = (Path(folder) / "meeting").as_uri()
        complaints = context.SimpleQueue()
        others = [
            context.Process(
                target=_follow, args=(work, arguments, rank, count, meeting, device, complaints), daemon=True
            )
            for rank in range(1, count)
        ]
        for process in others:
            process.start()
        try:
            return _join(work, arguments, 0, count, meeting, own_device(device, 0))
        except RuntimeError as error:
            others[0].join(timeout=2)
            if not complaints.empty():
                raise complaints.get() from error
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


def _join(work: Callable, arguments: tuple, rank: int, count: int, meeting: str, device: torch.device) -> Any:
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, init_method=meeting, rank=rank, world_size=count)
    try:
        return work(Place(rank, count, device), *arguments)
    finally:
        distributed.destroy_process_group()


def _follow(
    work: Callable, arguments: tuple, rank: int, count: int, meeting: str, device: str, complaints: Any
) -> None:
    try:
        _join(work, arguments, rank, count, meeting, own_device(device, rank))
    except EfficientSegError as error:
        # The first process may see only a broken connection, and reports this instead.
        complaints.put(error)
        raise SystemExit(1) from error
    except (RuntimeError, KeyboardInterrupt) as error:
        # The first process sees the same, and reports it; this one just ends.
        raise SystemExit(1) from error


def average(tensors: Iterable[Tensor], place: Place) -> list[Tensor]:
    """Means over the processes, of tensors of any shapes and one type, in one exchange."""
    tensors = list(tensors)
    if place.count == 1:
        return tensors
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors]).to(place.device)
    distributed.all_reduce(flat)
    flat /= place.count
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors)]


def any_of(flags: Iterable[bool], place: Place) -> list[bool]:
    """For each flag, whether it is set in any process; every process learns the same, at the same point of its work."""
    own = torch.tensor([float(flag) for flag in flags])
    return [bool(value) for value in average([own], place)[0] > 0]


def gather(item: Any, place: Place) -> list[Any]:
    """The item of every process, in order."""
    if place.count == 1:
        return [item]
    items: list[Any] = [None] * place.count
    distributed.all_gather_object(items, item)
    return items


def check_same(value: float, place: Place) -> None:
    """Make sure that a number which stands for the model is the same in every process.

    Raises:
        TrainingError: it is not, so the processes have come to train different models.
    """
    values = gather(value, place)
    if any(other != values[0] for other in values):
        raise TrainingError(
            f"The processes have come to train different models (sums of weights: {values}).",
            why="Their gradients were not averaged rightly, or a machine calculates wrongly.",
            mend="Start the same command again: it goes on from the last checkpoint. If it recurs, use 1 process.",
        )
