"""Several methods on several cases: every run on equal terms, every finished run kept, a failed one no end."""

import gc
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import nn

from EfficientSegLib import resources, strategies
from EfficientSegLib.bundle import Bundle
from EfficientSegLib.errors import OptionError
from EfficientSegLib.evaluation.cases import EvaluationCase
from EfficientSegLib.evaluation.label_files import Tell
from EfficientSegLib.evaluation.metrics import TOLERANCE_MM
from EfficientSegLib.evaluation.references import Regions, check_same_grid, read_reference, read_regions
from EfficientSegLib.evaluation.results import Results, Row
from EfficientSegLib.evaluation.run_cost import RunCost
from EfficientSegLib.evaluation.scoring import checksum, failed_row, score_labels, score_regions, source_checksum
from EfficientSegLib.options import read_options
from EfficientSegLib.segment import Segmentation, load_model, segment
from EfficientSegLib.volume import Volume, read

log = logging.getLogger(__name__)

READ_ONCE = ("coarse", "patches")  # stages whose work a run takes over from the one that it goes on from


@dataclass(frozen=True)
class Method:
    """A bundle and how it is run. Methods of one name that differ in `seed` become one line of the summary."""

    name: str
    bundle: Bundle
    strategy: str | None = None  # None: the bundle's
    options: Mapping[str, Any] = field(default_factory=dict)  # replace the bundle's one by one
    seed: str = ""

    @property
    def strategy_name(self) -> str:
        return self.strategy or self.bundle.strategy.name

    def all_options(self) -> Any:
        """The strategy's options, defaults included.

        Raises:
            OptionError: the strategy or an option is unknown, or a value is wrong.
        """
        strategy = self.bundle.run_strategy(self.strategy, self.options)
        return read_options(strategies.module(strategy.name).Options, strategy.options)

    @property
    def series(self) -> str:
        """The same for methods of a bundle that differ in the number of patches alone."""
        options = {name: value for name, value in asdict(self.all_options()).items() if name != "top_k"}
        return json.dumps([self.name, self.seed, self.strategy_name, options], sort_keys=True)


@dataclass(frozen=True)
class _Done:
    """A finished run, and what it cost together with the runs that it went on from."""

    segmentation: Segmentation
    seconds: dict[str, float]  # by stage
    peak_memory_mb: float
    gpu_memory_mb: float | None

    def after(self, before: "_Done") -> "_Done":
        """With the overview and the patches that were read before."""
        seconds = {
            stage: self.seconds.get(stage, 0.0) + (before.seconds.get(stage, 0.0) if stage in READ_ONCE else 0.0)
            for stage in {**before.seconds, **self.seconds}
        }
        on_gpu = None if self.gpu_memory_mb is None else max(self.gpu_memory_mb, before.gpu_memory_mb or 0.0)
        return _Done(self.segmentation, seconds, max(self.peak_memory_mb, before.peak_memory_mb), on_gpu)


def compare(
    methods: Sequence[Method],
    cases: Sequence[EvaluationCase],
    results: Results,
    *,
    device: str = "cpu",
    tolerance_mm: float = TOLERANCE_MM,
    tell: Tell = lambda done, total, words: None,
) -> list[Row]:
    """Run and score what is not in the results yet, bundle by bundle, case by case.

    Methods that differ in `top_k` alone run from few patches to many, each going on from where the one before ended:
    no patch is read twice, and labels are those of a run of its own. Their seconds are those of a run of its own too:
    the overview and all patches, whenever they were read. Seconds are wall time with as many threads as torch has now;
    reading files and loading the model do not count. A run that fails leaves a row with its error and does not stop
    the others.

    Returns:
        The rows of these methods and cases, old and new, in that order; see `Row.error` for runs that failed.

    Raises:
        OptionError: a strategy or its options are wrong, two methods are the same, or a case has no image.
        OSError: the results cannot be written.
    """
    _check(methods, cases, device, tolerance_mm)
    total, done, rows = len(methods) * len(cases), 0, []
    for group in _by_bundle(methods):
        runner = _Runner(group[0].bundle, device, tolerance_mm, results)
        for case in cases:
            scene = _Scene(case, group[0].bundle)
            for method in group:
                tell(done, total, f"{method.name}, {case.name}")
                rows += runner.run(method, scene)
                done += 1
        tell(done, total, "")
        del runner
        gc.collect()  # the model goes before the next one comes
    return rows


class _Scene:
    """A case's image and reference, read when first needed, once for all methods of a bundle."""

    def __init__(self, case: EvaluationCase, bundle: Bundle) -> None:
        self.case = case
        self.overlapping = case.lists_labels and bundle.outputs == "independent"  # each label is scored by itself
        self.earlier: dict[str, _Done] = {}  # by series: what a run with more patches goes on from
        self._volumes: tuple[Volume, Volume | Regions] | None = None

    def read(self) -> tuple[Volume, Volume | Regions]:
        if self._volumes is None:
            image = read(self.case.image)
            reference = read_regions(self.case) if self.overlapping else read_reference(self.case)
            mend = "Resample the label to the image, or correct its header."
            on_grid = reference.volume if isinstance(reference, Regions) else reference
            check_same_grid(image, on_grid, f"Image and label of case {self.case.name!r}", mend)
            self._volumes = image, reference
        return self._volumes


class _Runner:
    """Runs one bundle; its model is loaded once."""

    def __init__(self, bundle: Bundle, device: str, tolerance_mm: float, results: Results) -> None:
        self._bundle = bundle
        self._device = device
        self._tolerance_mm = tolerance_mm
        self._results = results
        self._cost = RunCost(bundle)
        self._model: nn.Module | None = None

    def run(self, method: Method, scene: _Scene) -> list[Row]:
        """The rows of a run: those that are there, or new ones, which are then written."""
        identity, labels = self._identity(method, scene.case), self._labels(scene.case)
        if self._results.has(identity.key, labels):
            return self._results.of(identity.key, labels)
        try:
            done = self._segmented(method, scene)
            measured = replace(identity, **self._measured(method, done))
            rows = self._scored(measured, done.segmentation, scene.read()[1], labels)
        except Exception as error:  # whatever it is, the other runs are worth having
            log.debug("%s, %s", method.name, scene.case.name, exc_info=True)
            scene.earlier.pop(method.series, None)
            rows = [failed_row(identity, error)]
        self._results.add(rows)
        return rows

    def _scored(
        self, measured: Row, segmentation: Segmentation, reference: Volume | Regions, labels: Mapping[int, str]
    ) -> list[Row]:
        """Where the reference may overlap, each label by itself; else the one label that a voxel shows."""
        known = [label.value for label in self._bundle.labels]
        if isinstance(reference, Regions):
            masks = segmentation.masks
            return score_regions(measured, lambda v: masks.mask(known.index(v)), reference, labels, set(known))
        return score_labels(measured, segmentation.labels, reference, labels, set(known))

    def _segmented(self, method: Method, scene: _Scene) -> _Done:
        image, _ = scene.read()
        if self._model is None:
            self._model = load_model(self._bundle, self._device)
        before = scene.earlier.pop(method.series, None)
        resources.forget_peak()
        if self._device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        done = segment(
            image,
            self._bundle,
            self._model,
            strategy=method.strategy,
            options=method.options,
            earlier=before and before.segmentation,
            overlapping=scene.overlapping,
        )
        on_gpu = torch.cuda.max_memory_allocated() / 2**20 if self._device == "cuda" else None
        own = _Done(done, dict(done.seconds), resources.peak_memory_mb(), on_gpu)
        own = own.after(before) if before else own
        if done.reading is not None:
            scene.earlier[method.series] = own
        return own

    def _measured(self, method: Method, done: _Done) -> dict[str, Any]:
        segmentation = done.segmentation
        cost = self._cost.of(method.strategy_name, method.all_options(), segmentation)
        return {
            "patches_read": segmentation.patches_read,
            "candidates": segmentation.candidates,
            "seconds": round(sum(done.seconds.values()), 4),
            "seconds_by_stage": json.dumps({stage: round(seconds, 4) for stage, seconds in done.seconds.items()}),
            "peak_memory_mb": round(done.peak_memory_mb, 1),
            "gpu_memory_mb": None if done.gpu_memory_mb is None else round(done.gpu_memory_mb, 1),
            "gmacs": round(cost.macs / 1e9, 4) if cost else None,
            "paper_gmacs": round(cost.paper_macs / 1e9, 4) if cost else None,
        }

    def _labels(self, case: EvaluationCase) -> dict[int, str]:
        return {label.value: label.name for label in self._bundle.shown_labels if case.scores(label.value)}

    def _identity(self, method: Method, case: EvaluationCase) -> Row:
        return Row(
            method=method.name,
            seed=method.seed,
            bundle=self._bundle.name,
            bundle_sha=bundle_checksum(self._bundle),
            strategy=method.strategy_name,
            options=_written(method),
            case=case.name,
            split=case.split,
            source=source_checksum(case),
            device=self._device,
            threads=torch.get_num_threads(),
            tolerance_mm=float(self._tolerance_mm),
        )


def bundle_checksum(bundle: Bundle) -> str:
    """Of all that decides the labels: weights, network, preparation, label values; not of texts and colours."""
    parts = {
        "weights": bundle.weights.sha256,
        "network": asdict(bundle.network),
        "preprocess": bundle.preprocess.to_json(),
        "postprocess": asdict(bundle.postprocess),
        "values": bundle.channel_values,
        **({} if bundle.outputs == "exclusive" else {"outputs": bundle.outputs}),
    }
    return checksum(parts)


def _by_bundle(methods: Sequence[Method]) -> list[list[Method]]:
    """Methods that share a bundle stand together, in order of first mention; in a series the fewest patches first."""
    groups: dict[str, dict[str, list[Method]]] = {}
    for method in methods:
        groups.setdefault(bundle_checksum(method.bundle), {}).setdefault(method.series, []).append(method)
    return [
        [method for series in group.values() for method in sorted(series, key=_patches)] for group in groups.values()
    ]


def _written(method: Method) -> str:
    """All options as results know them. One that is newer than older results is left out where it changes nothing."""
    options = asdict(method.all_options())
    if options.get("prune_ratio", 0) is None:
        del options["prune_ratio"]
    return json.dumps(options, sort_keys=True)


def _patches(method: Method) -> float:
    top_k = getattr(method.all_options(), "top_k", None)
    return float("inf") if top_k is None else top_k


def _check(methods: Sequence[Method], cases: Sequence[EvaluationCase], device: str, tolerance_mm: float) -> None:
    seen = set()
    for method in methods:
        options = method.all_options()
        what = (method.name, method.seed, method.strategy_name, json.dumps(asdict(options), sort_keys=True))
        if what in seen:
            raise OptionError(
                f"The method {method.name!r} is given twice.",
                why="Its results could not be told apart.",
                mend="Name one of them otherwise, or give them different seeds.",
            )
        seen.add(what)
    for case in cases:
        if case.image is None:
            raise OptionError(f"Case {case.name!r} has no image.", why="A bundle segments one.", mend="Add --images.")
