"""A model bundle: a folder with `bundle.json` and its weights. Everything about a trained model is here."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from EfficientSegLib.errors import BundleError, OptionError
from EfficientSegLib.gate import Gate
from EfficientSegLib.options import read_options
from EfficientSegLib.rules import Crop as Crop
from EfficientSegLib.rules import Intensity as Intensity
from EfficientSegLib.rules import Postprocess, Preprocess

SCHEMA = 1
MANIFEST = "bundle.json"
TOKEN_NETWORKS = ("stp_unetr",)  # of the registry: those that stop computing tokens on the way


@dataclass(frozen=True)
class Label:
    """One structure. Channel c of the logits belongs to `labels[c - 1]`; channel 0 is background."""

    value: int  # in the label map; 1 to 65535
    name: str
    color: tuple[int, int, int]  # red, green, blue, 0 to 255
    code: str = ""  # terminology, "SCT:" and a SNOMED CT code
    modifier: str = ""  # side, in the same form
    auxiliary: bool = False  # the network knows it, the label map shows it as background

    def __post_init__(self) -> None:
        if not 1 <= self.value <= 65535:
            raise OptionError(f"Label {self.name!r} has value {self.value}.", why="0 is background.", mend="Use 1 on.")
        if any(not 0 <= part <= 255 for part in self.color):
            raise OptionError(
                f"Label {self.name!r} has colour {self.color}.", why="Parts are 0 to 255.", mend="Mend it."
            )


@dataclass(frozen=True)
class Component:
    """A network or a strategy: its name in the registry and its options there."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Weights:
    file: str
    sha256: str
    url: str | None = None


@dataclass(frozen=True)
class Licence:
    weights: str
    data: str
    use: str


@dataclass(frozen=True)
class Bundle:
    """A manifest, checked; `folder` tells where it was read from."""

    schema: int
    name: str
    version: str
    title: str
    modality: Literal["CT", "MR"]
    channels: tuple[str, ...]
    labels: tuple[Label, ...]
    preprocess: Preprocess
    network: Component
    strategy: Component
    weights: Weights
    licence: Licence
    description: str = ""
    postprocess: Postprocess = field(default_factory=Postprocess)
    provenance: dict[str, Any] = field(default_factory=dict)
    reduced_precision: tuple[Gate, ...] = ()  # written by `bundles --gate` only
    # independent: each label has a channel (sigmoid) of its own, none is background, and labels may overlap.
    outputs: Literal["exclusive", "independent"] = "exclusive"
    folder: str = ""

    @property
    def num_labels(self) -> int:
        """Channels of the logits of a volume: background and all labels, auxiliary ones too."""
        return len(self.labels) + 1

    @property
    def num_outputs(self) -> int:
        """Channels that the network gives: those of the logits, less the background where labels are independent."""
        return len(self.labels) if self.outputs == "independent" else self.num_labels

    @property
    def shown_labels(self) -> tuple[Label, ...]:
        """The labels that the label map may hold."""
        return tuple(label for label in self.labels if not label.auxiliary)

    @property
    def channel_values(self) -> tuple[int, ...]:
        """Value in the label map of each channel; 0 for background and auxiliary labels."""
        return (0, *(0 if label.auxiliary else label.value for label in self.labels))

    @property
    def prunes_tokens(self) -> bool:
        """Whether the network that reads patches drops tokens, so that a map of them can be asked for."""
        own = self.network.options
        name, options = self.network.name, own
        if name == "nmsw":
            name, options = own.get("local_backbone"), own.get("local_options", {})
        return name in TOKEN_NETWORKS and options.get("selection") != "none"

    def run_strategy(self, name: str | None = None, options: Mapping[str, Any] | None = None) -> Component:
        """The strategy of a run; of the bundle's own the options are replaced one by one, another begins with none.

        Args:
            name: None is the bundle's.
            options: those of this run.
        """
        own = self.strategy.options if name in (None, "", self.strategy.name) else {}
        return Component(name or self.strategy.name, {**own, **(options or {})})

    def gate(self, backend: str = "torch") -> Gate | None:
        """What was measured of bfloat16 with these very weights; None if nothing was."""
        fitting = (gate for gate in self.reduced_precision if gate.weights_sha256 == self.weights.sha256)
        return next((gate for gate in fitting if gate.backend == backend), None)

    @property
    def weights_path(self) -> Path:
        return Path(self.folder) / self.weights.file

    def to_json(self) -> dict[str, Any]:
        """The manifest as a JSON object, without `folder`."""
        content = {**dataclasses.asdict(self), "preprocess": self.preprocess.to_json()}
        del content["folder"]
        if self.outputs == "exclusive":
            del content["outputs"]  # newer than the format: older versions read what does not need it
        return content


def load(folder: str | os.PathLike, needs_weights: bool = True) -> Bundle:
    """Read and check the manifest of a bundle; its weights are not opened.

    Args:
        folder: with bundle.json.
        needs_weights: False: they may be missing, to be fetched from their address.

    Raises:
        BundleError: the manifest is missing, not JSON, of another schema, incomplete or contradictory, or its
            weights file is missing.
    """
    folder = Path(folder)
    content = _read_manifest(folder)
    try:
        bundle = read_options(Bundle, {**content, "folder": str(folder)})
    except OptionError as error:
        raise BundleError(
            f"Bundle {folder.name!r} cannot be used: {error.what}", why=error.why, mend=f"{error.mend} See {MANIFEST}."
        ) from error
    _check(bundle, needs_weights)
    return bundle


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise BundleError(
            f"{folder} is not a bundle.", why=f"It has no readable {MANIFEST}.", mend="Choose a bundle's folder."
        ) from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not JSON.", why=f"{error}.", mend="Get the bundle again.") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        found = content.get("schema") if isinstance(content, dict) else None
        raise BundleError(
            f"Bundle {folder.name!r} has schema {found!r}.",
            why=f"This version reads schema {SCHEMA}.",
            mend="Update EfficientSeg, or get a bundle made for this version.",
        )
    return content


def _refuse_constant(name: str) -> None:
    """JSON has no NaN and no Infinity, though Python reads them; no number of a bundle may be one."""
    raise ValueError(f"{name} is no number")


def _check(bundle: Bundle, needs_weights: bool) -> None:
    def refuse(what: str, why: str, mend: str) -> None:
        raise BundleError(f"Bundle {bundle.name!r}: {what}", why=why, mend=mend)

    for key, found in (
        ("value", [label.value for label in bundle.labels]),
        ("name", [label.name for label in bundle.labels]),
    ):
        twice = sorted({item for item in found if found.count(item) > 1})
        if twice:
            refuse(f"two labels have {key} {twice[0]!r}.", "Each structure needs its own.", f"Mend {MANIFEST}.")
    if not bundle.shown_labels:
        refuse("it has no label to show.", "A bundle names what it finds.", f"Add labels to {MANIFEST}.")
    unknown = set(bundle.postprocess.largest_component) - {label.value for label in bundle.labels}
    if unknown:
        refuse(f"postprocess names label {min(unknown)}.", "No label has this value.", f"Mend {MANIFEST}.")
    if len(bundle.channels) != 1:
        refuse(f"it wants {len(bundle.channels)} channels.", "One image is read.", "Use a bundle of one channel.")
    if not bundle.licence.use or not bundle.licence.weights:
        refuse("it has no licence.", "Whoever uses it must know what is allowed.", "Ask its author for one.")
    name = bundle.weights.file
    if name in ("", ".", "..", MANIFEST) or "\\" in name or Path(name).name != name:
        refuse(f"weights.file is {name!r}.", "It must lie in the bundle's folder.", "Give a file name.")
    if needs_weights and not bundle.weights_path.is_file():
        refuse(
            f"{bundle.weights.file} is missing.",
            f"{bundle.folder} holds no such file.",
            "Download them." if bundle.weights.url else "Get the bundle again, weights included.",
        )


def save(bundle: Bundle, folder: str | os.PathLike) -> None:
    """Write the manifest; an older one is replaced in one step."""
    path = Path(folder) / MANIFEST
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(bundle.to_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(part, path)


def find(folders: Iterable[str | os.PathLike]) -> list[Path]:
    """Folders that hold a manifest, directly inside the given ones, by name."""
    found = {path.parent for folder in folders for path in Path(folder).glob(f"*/{MANIFEST}")}
    return sorted(found, key=lambda path: path.name)


def checksum(path: str | os.PathLike) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def verify_weights(bundle: Bundle) -> None:
    """Compare the weights with the manifest's checksum, before anything else opens them.

    Raises:
        BundleError: they differ.
    """
    found = checksum(bundle.weights_path)
    if found != bundle.weights.sha256:
        raise BundleError(
            f"The weights of bundle {bundle.name!r} have checksum {found[:12]}….",
            why=f"{MANIFEST} names {bundle.weights.sha256[:12]}…: the file is broken or another one.",
            mend="Get the bundle again.",
        )
