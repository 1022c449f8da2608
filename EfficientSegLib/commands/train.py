"""`train`: a configuration and a folder of data in, a bundle out."""

import argparse
import sys

from EfficientSegLib.heap import keep_large_blocks


def run(arguments: argparse.Namespace) -> int:
    """Train; an interrupted training goes on where its last checkpoint was.

    Raises:
        EfficientSegError: it cannot start or go on.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, the checkpoint written.
    """
    if "torch" not in sys.modules:  # this process is the command's own, not a program that calls it
        keep_large_blocks()
    from EfficientSegLib.training.loop import train_from_file

    train_from_file(
        arguments.config,
        arguments.data,
        arguments.output,
        arguments.resume,
        arguments.processes,
        arguments.device,
        arguments.tensorboard,
        arguments.pretrained_encoder,
    )
    return 0
