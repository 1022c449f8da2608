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
