"""How fast this machine was, remembered from run to run and from session to session."""

import json
import logging
import math

import numpy as np
import qt

from EfficientSegBridge import nodes
from EfficientSegBridge.parameters import Parameters
from EfficientSegLib.protocol import Pace

SETTING = "EfficientSeg/Paces"
MOST = 60  # entries; the oldest go first
FARTHEST = 8.0  # a volume so many times larger or smaller tells nothing about this one


class Paces:
    """Seconds per patch by model, device and size of the volume, kept in the application settings.

    A run that goes on from another one has a pace of its own: it does not look at the whole volume again.
    """

    def __init__(self) -> None:
        self._known: list[dict] = _read()

    def remember(self, parameters: Parameters, volumeNode, pace: Pace, continues: bool = False) -> None:
        """A run has measured how long things take; one that has read no patch has not."""
        size = millilitres(volumeNode)
        if not pace.patch_seconds or not pace.candidates or not size:
            return
        key = _key(parameters, continues)
        self._known = [entry for entry in self._known if entry["key"] != key or not _same(entry["ml"], size)]
        self._known.append(
            {
                "key": key,
                "ml": round(size, 1),
                "base": pace.base_seconds,
                "patch": pace.patch_seconds,
                "candidates": pace.candidates,
            }
        )
        del self._known[:-MOST]
        qt.QSettings().setValue(SETTING, json.dumps(self._known))

    def find(self, parameters: Parameters, volumeNode, continues: bool = False) -> Pace | None:
        """What a run would take on this volume; from another volume's by their sizes where this one's is not known.

        A run that goes on is estimated from a fresh one where none was measured: too long rather than too short.
        """
        size = millilitres(volumeNode)
        for kind in (True, False) if continues else (False,):
            key = _key(parameters, kind)
            fitting = [entry for entry in self._known if entry["key"] == key and entry["ml"] > 0]
            if size and fitting:
                nearest = min(reversed(fitting), key=lambda entry: abs(math.log(entry["ml"] / size)))
                ratio = size / nearest["ml"]
                if 1 / FARTHEST <= ratio <= FARTHEST:
                    ratio = 1.0 if _same(nearest["ml"], size) else ratio
                    return Pace(
                        round(nearest["base"] * ratio, 3),
                        nearest["patch"],
                        max(round(nearest["candidates"] * ratio), 1),
                    )
        return None


def millilitres(volumeNode) -> float:
    """What the volume covers; 0 where there is none."""
    if volumeNode is None or volumeNode.GetImageData() is None:
        return 0.0
    voxel = abs(float(np.linalg.det(nodes.ijkToRas(volumeNode)[:3, :3])))
    return float(np.prod(nodes.shape(volumeNode))) * voxel / 1000


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= 0.02 * other


def _key(parameters: Parameters, continues: bool) -> str:
    bundle = parameters.bundle
    said = [bundle.name, bundle.version, parameters.strategyName, parameters.device, str(parameters.threads or "")]
    return "|".join([*said, "more"] if continues else said)


def _read() -> list[dict]:
    """What an earlier session kept; entries that are not ours are passed over."""
    try:
        entries = json.loads(str(qt.QSettings().value(SETTING) or "[]"))
    except ValueError:
        logging.info("EfficientSeg: the remembered speeds cannot be read and are measured again.")
        return []
    wanted = {"key": str, "ml": (int, float), "base": (int, float), "patch": (int, float), "candidates": int}
    return [
        entry
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict) and all(isinstance(entry.get(name), kind) for name, kind in wanted.items())
    ]
