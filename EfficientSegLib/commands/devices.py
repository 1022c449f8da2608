"""`devices`: what this machine can calculate on, whether it works, and how fast it reads a patch."""

import argparse
import dataclasses
import json

from EfficientSegLib import bundle as bundles
from EfficientSegLib import devices
from EfficientSegLib.commands.segment import find_bundle
from EfficientSegLib.errors import OptionError
from EfficientSegLib.protocol import DeviceSpeed


def run(arguments: argparse.Namespace) -> int:
    """Tell of each device; 1 where one is there and does not work.

    Raises:
        EfficientSegError: the bundle for --measure cannot be used.
    """
    if arguments.threads is not None and arguments.threads < 1:
        raise OptionError(f"threads is {arguments.threads}.", why="At least one is needed.", mend="Use 1 or more.")
    found = _measured(arguments) if arguments.measure else [_checked(device) for device in devices.there()]
    for number, speed in enumerate(found):
        print(json.dumps(dataclasses.asdict(speed)) if arguments.json else _line(speed, number == 0 and len(found) > 1))
    return 1 if any(speed.trouble for speed in found) else 0


def _measured(arguments: argparse.Namespace) -> list[DeviceSpeed]:
    from EfficientSegLib.device_speed import measure

    return measure(bundles.load(find_bundle(arguments.bundle)), arguments.threads)


def _checked(device: str) -> DeviceSpeed:
    failure = None if device == "cpu" else devices.trouble(device)
    return DeviceSpeed(device, devices.title(device), trouble=str(failure) if failure else "")


def _line(speed: DeviceSpeed, is_fastest: bool) -> str:
    if speed.trouble:
        return f"{speed.device:5} {speed.title}: {speed.trouble}"
    if speed.seconds is None:
        return f"{speed.device:5} {speed.title}: works"
    best = ", the fastest" if is_fastest else ""
    return f"{speed.device:5} {speed.title}: {speed.seconds:.3f} s per {speed.unit} in {speed.precision}{best}"
