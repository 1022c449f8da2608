"""A GPU whose memory ends, as far as this machine can play it: passes that fail as torch lets them fail on a real one.

The model lies on the CPU all the while, so what is not tried is what only a GPU has: its allocator, moved tensors,
kernels that fail late.
"""

import copy

import torch

from EfficientSegLib.strategies.fallback import Standby

WORDS = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 3.81 GiB of which 0 is free."


class SmallGpu:
    """Lets passes of a model fail.

    Args:
        model: its methods are replaced; what stands by for it is as it was.
        methods: that need the memory.
        fails: told the number of the pass, from 1 on, and how many it reads at once; whether it fails.
        error: makes what is raised.
    """

    def __init__(self, model, methods, fails, error=lambda: torch.OutOfMemoryError(WORDS)):
        self.passes, self.loaded, self.model = 0, 0, model
        plain = copy.deepcopy(model)
        for name in methods:
            setattr(model, name, self._guarded(getattr(model, name), fails, error))

        def load():
            self.loaded += 1
            return plain

        model.standby = Standby("cuda", load, "fp32")

    def _guarded(self, method, fails, error):
        def guarded(given, *more):
            self.passes += 1
            if fails(self.passes, len(given)):
                raise error()
            return method(given, *more)

        return guarded


def pretend(first_without_room: int | None, loads: bool = True) -> None:
    """From now on this process has a GPU "cuda", on which the local network of NMSW is asked until its memory ends.

    Args:
        first_without_room: the pass, counted over all runs, from which on it fails; None: never.
        loads: whether a model finds room there at all.
    """
    from torch import nn

    from EfficientSegLib import devices
    from EfficientSegLib.networks.nmsw import NMSW

    local, to, passes = NMSW.local, nn.Module.to, []

    def guarded(self, patch):
        if getattr(self, "standby", None) is not None:
            passes.append(patch)
            if first_without_room is not None and len(passes) >= first_without_room:
                raise torch.OutOfMemoryError(WORDS)
        return local(self, patch)

    def moved(self, *where, **how):
        if where != ("cuda",):
            return to(self, *where, **how)
        if not loads:
            raise torch.OutOfMemoryError(WORDS)
        return self

    devices.choose = lambda device, warn=None: "cpu" if device == "cpu" else "cuda"
    NMSW.local, nn.Module.to = guarded, moved
