"""What stands in the way of a run, said before it starts: one line and one cure each. Never blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import slicer

from EfficientSegBridge import nodes, run_folder
from EfficientSegBridge.torch_probe import TorchState
from EfficientSegBridge.translation import _
from EfficientSegLib import resources, suitability
from EfficientSegLib.bundle import Bundle
from EfficientSegLib.errors import EfficientSegError

Level = Literal["ok", "wait", "warning", "error"]
ORDER = ("error", "warning", "wait", "ok")
SAMPLES_PER_AXIS = 96  # voxels looked at along each axis: a fraction of a second for any volume


@dataclass(frozen=True)
class Finding:
    """One fact about what is to be run."""

    level: Level
    subject: str  # torch, device, memory, disk, bundle, modality, geometry, volume
    text: str
    cure: str = ""
    action: str = ""  # "install": a click mends it


def check(volumeNode, bundle: Bundle | None, torch: TorchState, device: str, bundleTrouble: str = "") -> list[Finding]:
    """Everything that can be known without starting the worker, the worst first.

    Args:
        volumeNode: may be None.
        bundle: may be None; `bundleTrouble` then tells why.
        torch: what `TorchProbe` found.
        device: auto, cpu, cuda or mps.
        bundleTrouble: what is wrong with the chosen bundle.
    """
    found = [*_volume(volumeNode, bundle), *_bundle(bundle, bundleTrouble), *torchFindings(torch)]
    found += [*_device(torch, device), *_room(volumeNode, bundle)]
    return sorted(found, key=lambda finding: ORDER.index(finding.level))


def summary(findings: Sequence[Finding]) -> Finding:
    """The one line of the panel: the worst finding, or what the volume is."""
    worst = findings[0]
    if worst.level == "ok":
        return next((finding for finding in findings if finding.subject == "volume"), worst)
    return worst


def _volume(volumeNode, bundle: Bundle | None) -> list[Finding]:
    try:
        nodes.checkVolume(volumeNode)
        shape, spacing = nodes.shape(volumeNode), tuple(volumeNode.GetSpacing())
        suitability.check_grid(shape, spacing, nodes.direction(volumeNode))
    except EfficientSegError as error:
        level = "wait" if volumeNode is None else "error"
        return [Finding(level, "geometry", f"{error.what} {error.why}", error.mend)]
    size = "×".join(f"{step:.3g}" for step in spacing)
    kind = modality(volumeNode)
    found = [
        Finding(
            "ok",
            "volume",
            _("{kind}{shape} voxels of {size} mm").format(
                kind=f"{kind}, " if kind else "", shape="×".join(map(str, shape)), size=size
            ),
        )
    ]
    if bundle is not None:
        found += _intensities(volumeNode, bundle, spacing, kind)
    return found


def _intensities(volumeNode, bundle: Bundle, spacing: tuple[float, float, float], kind: str) -> list[Finding]:
    try:
        suitability.check_intensities(sampled(volumeNode), bundle.modality, kind)
    except EfficientSegError as error:
        return [Finding("error", "modality", f"{error.what} {error.why}", error.mend)]
    voxels = slicer.util.arrayFromVolume(volumeNode).T
    lies = nodes.direction(volumeNode)
    said = suitability.warnings(voxels, spacing, bundle.modality, bundle.preprocess, said=kind, direction=lies)
    return [Finding("warning", "modality", line, _("Look at the result with care.")) for line in said]


def _bundle(bundle: Bundle | None, trouble: str) -> list[Finding]:
    if bundle is not None:
        return [Finding("ok", "bundle", bundle.title)]
    if trouble:
        return [Finding("error", "bundle", trouble, _("Choose another model, or get this one again."))]
    return [Finding("wait", "bundle", _("No model is chosen."), _("Choose one, or browse for a bundle's folder."))]


def torchFindings(torch: TorchState) -> list[Finding]:
    """The state of PyTorch and of what the worker needs beside it, with its cure."""
    again = _("Install it again with the PyTorch extension, or choose another Python under Advanced.")
    if torch.state == "unknown":
        return [Finding("wait", "torch", _("Looking for PyTorch …"))]
    if torch.state == "missing":
        return [Finding("error", "torch", _("PyTorch is not installed."), _("It can be installed now."), "install")]
    if torch.state == "partial":
        return [Finding("error", "torch", _("PyTorch is installed only in part: an installation broke off."), again)]
    if torch.state == "broken":
        text = _("PyTorch is installed and does not work: {reason}.").format(reason=torch.reason.rstrip("."))
        return [Finding("error", "torch", text, again)]
    if torch.missing:
        text = _("That Python lacks {names}.").format(names=", ".join(torch.missing))
        return [Finding("error", "torch", text, _("Install them there with pip, or use Slicer's own Python."))]
    return [Finding("ok", "torch", _("PyTorch {version}").format(version=torch.version))]


def _device(torch: TorchState, device: str) -> list[Finding]:
    if torch.state != "ok":
        return []
    there = {"auto": True, "cpu": True, "cuda": bool(torch.cuda), "mps": torch.mps}
    if not there.get(device, False):
        return [
            Finding(
                "error",
                "device",
                _("Device {device} is not there.").format(device=device),
                _("Choose auto under Advanced."),
            )
        ]
    if device in ("auto", "cuda") and torch.cuda:
        return [Finding("ok", "device", torch.cuda)]
    if device in ("auto", "mps") and torch.mps:
        return [Finding("ok", "device", _("Apple GPU"))]
    return [Finding("ok", "device", _("Processor (no GPU is used)"))]


def _room(volumeNode, bundle: Bundle | None) -> list[Finding]:
    """Memory and disk, where a volume and a bundle are there to estimate from."""
    if volumeNode is None or bundle is None or volumeNode.GetImageData() is None:
        return []
    shape, spacing = nodes.shape(volumeNode), tuple(volumeNode.GetSpacing())
    found = []
    if min(shape) > 0 and min(spacing) > 0:
        free = resources.available_memory_mb()
        try:
            needed = resources.check_memory(shape, spacing, bundle, available_mb=free)
            text = _("about {needed:.1f} GB of memory needed, {free:.1f} GB free").format(
                needed=needed / 1024, free=free / 1024
            )
            tight = needed > 0.8 * free
            cure = _("Close other programs, or crop the volume.") if tight else ""
            found.append(Finding("warning" if tight else "ok", "memory", text, cure))
        except EfficientSegError as error:
            found.append(Finding("error", "memory", error.what, error.mend))
        found.append(_disk(run_folder.home(), volumeNode, shape))
    return found


def _disk(folder: Path, volumeNode, shape: tuple[int, int, int]) -> Finding:
    inputMb = volumeNode.GetImageData().GetActualMemorySize() / 1024
    try:
        resources.check_disk(folder, inputMb + resources.result_mb(shape))
    except EfficientSegError as error:
        return Finding("error", "disk", error.what, error.mend)
    return Finding("ok", "disk", _("{free:.0f} GB of disk free").format(free=resources.free_disk_mb(folder) / 1024))


def sampled(volumeNode) -> np.ndarray:
    """Voxels evenly spread over the volume, (I, J, K), without a copy."""
    voxels = slicer.util.arrayFromVolume(volumeNode)
    steps = [max(count // SAMPLES_PER_AXIS, 1) for count in voxels.shape]
    return voxels[:: steps[0], :: steps[1], :: steps[2]].T


def modality(volumeNode) -> str:
    """What DICOM says the image is; empty where nothing is known."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(volumeNode) if hierarchy is not None else 0
    return hierarchy.GetItemAttribute(item, "DICOM.Modality") if item else ""
