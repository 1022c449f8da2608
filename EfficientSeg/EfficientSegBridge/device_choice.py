"""Which device is the faster one: measured once, kept in the application settings, and taken where `auto` is chosen."""

import json

import qt

from EfficientSegBridge import python_row
from EfficientSegLib.errors import OptionError
from EfficientSegLib.options import read_options
from EfficientSegLib.protocol import DeviceSpeed

SETTING = "EfficientSeg/DeviceSpeeds"


def remember(speeds: tuple[DeviceSpeed, ...], bundleTitle: str) -> None:
    """Keep what was measured in the Python that is chosen now."""
    content = {"python": _python(), "bundle": bundleTitle, "devices": [vars(speed) for speed in speeds]}
    qt.QSettings().setValue(SETTING, json.dumps(content))


def forget() -> None:
    qt.QSettings().remove(SETTING)


def remembered() -> tuple[tuple[DeviceSpeed, ...], str]:
    """Devices, the fastest first, and the model they were measured with; nothing where another Python is chosen."""
    try:
        content = json.loads(str(qt.QSettings().value(SETTING) or "{}"))
        if content.get("python") != _python():
            return (), ""
        return tuple(read_options(DeviceSpeed, speed) for speed in content["devices"]), str(content["bundle"])
    except (ValueError, KeyError, TypeError, AttributeError, OptionError):
        return (), ""


def resolve(device: str) -> str:
    """The device to ask for: where `auto` is chosen and the processor was measured to be the fastest, the processor.

    Otherwise `auto` stays: the worker then takes the GPU if it works on that day.
    """
    speeds, _bundle = remembered() if device == "auto" else ((), "")
    return "cpu" if len(speeds) > 1 and speeds[0].device == "cpu" else device


def _python() -> str:
    return str(qt.QSettings().value(python_row.SETTING) or "")
