"""`evaluate`: bundles, and other tools' label files, on annotated cases; a table of them side by side out."""

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from EfficientSegLib.commands.segment import find_bundle, strategy_options
from EfficientSegLib.errors import OptionError

if TYPE_CHECKING:
    from EfficientSegLib.evaluation.cases import EvaluationCase
    from EfficientSegLib.evaluation.compare import Method
    from EfficientSegLib.evaluation.label_files import LabelFiles
    from EfficientSegLib.evaluation.results import Row

RESULTS = "results.csv"


def run(arguments: argparse.Namespace) -> int:
    """Evaluate; finished runs are kept whatever happens, and not run again. 1 where any failed.

    Raises:
        EfficientSegError: it cannot begin.
    """
    import torch

    from EfficientSegLib import devices
    from EfficientSegLib.environment import cores
    from EfficientSegLib.evaluation import compare, label_files, tables
    from EfficientSegLib.evaluation.results import Results

    if arguments.threads is not None and arguments.threads < 1:
        raise OptionError(f"threads is {arguments.threads}.", why="At least one is needed.", mend="Use 1 or more.")
    methods, files = _methods(arguments), _label_files(arguments)
    cases = _cases(arguments)
    device = devices.choose(arguments.device) if methods else "cpu"
    torch.set_num_threads(arguments.threads or max(cores() - 1, 1))
    folder = Path(arguments.output)
    results = Results(folder / RESULTS)
    terms = {"tolerance_mm": arguments.tolerance}
    rows = []
    with _Bar() as bar:
        if methods:
            rows += compare.compare(methods, cases, results, device=device, tell=bar, **terms)
        if files:
            rows += label_files.compare_files(files, cases, results, tell=bar, **terms)
    written = [results.path, *tables.write(rows, folder)]
    print(tables.text_table(rows))
    if arguments.plots and any(row.dice is not None for row in rows):
        written += _plots(rows, folder)
    for path in written:
        print(f"Written: {path}")
    return _tell_failures(rows)


def parse_strategy(text: str) -> tuple[str, dict[str, Any]]:
    """Name and options of "nmsw:top_k=30,class_weights=one"; values are JSON or words, "all" is every patch.

    Raises:
        OptionError: an option has no value.
    """
    name, _, rest = text.partition(":")
    options = {}
    for part in re.split(r",(?![^\[]*\])", rest) if rest else []:
        option, equals, value = part.partition("=")
        if not equals or not option:
            raise OptionError(
                f"--strategy {text} says {part!r}.",
                why="Each option has a name and a value.",
                mend="Write it as nmsw:top_k=30,class_weights=one.",
            )
        options[option.strip()] = None if (option, value) == ("top_k", "all") else _value(value)
    return name, options


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _methods(arguments: argparse.Namespace) -> list["Method"]:
    """Each bundle with each strategy and each number of patches."""
    from EfficientSegLib import bundle as bundles
    from EfficientSegLib import strategies
    from EfficientSegLib.evaluation.compare import Method

    methods = []
    for text in arguments.bundle:
        name, seed, folder = _named(text)
        bundle = bundles.load(find_bundle(folder))
        for given in arguments.strategy or [""]:
            strategy, options = parse_strategy(given) if given else (bundle.strategy.name, {})
            numbers = arguments.patches if strategies.knows(strategy, "top_k") else None
            for number in numbers or [None]:
                chosen = {**options, **({"top_k": strategy_options(number)["top_k"]} if number is not None else {})}
                title = _title(name or bundle.name, strategy, options, bundle.strategy.name)
                methods.append(Method(title, bundle, strategy, chosen, seed))
    return methods


def _title(name: str, strategy: str, options: dict[str, Any], own: str) -> str:
    """The bundle's name, and what is unusual about its run; the number of patches has a column of its own."""
    unusual = [strategy] if strategy != own else []
    unusual += [f"{option}={json.dumps(value)}" for option, value in options.items() if option != "top_k"]
    return ", ".join([name, *unusual]).replace('"', "")


def _label_files(arguments: argparse.Namespace) -> list["LabelFiles"]:
    from EfficientSegLib.evaluation.label_files import LabelFiles
    from EfficientSegLib.evaluation.references import read_label_names

    if not arguments.predictions:
        if not arguments.bundle:
            raise OptionError(
                "There is nothing to evaluate.",
                why="Neither a bundle nor a folder of label files was given.",
                mend="Add --bundle FOLDER or --predictions FOLDER.",
            )
        return []
    source = arguments.bundle_labels or (_named(arguments.bundle[0])[2] if arguments.bundle else None)
    if source is None:
        raise OptionError(
            "The labels of the predictions are not known.",
            why="Files hold numbers, and no list says which of them are labels.",
            mend="Add --bundle-labels with a bundle's folder or a dataset.json.",
        )
    labels = read_label_names(find_bundle(source))
    named = [_named(text) for text in arguments.predictions]
    return [LabelFiles(name or Path(folder).name, Path(folder), labels, seed) for name, seed, folder in named]


def _named(text: str) -> tuple[str, str, str]:
    """Name, seed and folder of "NAME#SEED=FOLDER", where the first two may be missing."""
    if Path(text).exists() or "=" not in text:
        return "", "", text
    title, _, folder = text.partition("=")
    name, _, seed = title.partition("#")
    return name, seed, folder


def _cases(arguments: argparse.Namespace) -> list["EvaluationCase"]:
    from EfficientSegLib.evaluation import cases

    if arguments.cases and (arguments.images or arguments.labels):
        raise OptionError(
            "Cases are given twice.", why="--cases names images and labels already.", mend="Leave one of the two away."
        )
    if arguments.cases:
        source = Path(arguments.cases)
        found = cases.read_dataset(source) if source.is_dir() else cases.read_list(source, arguments.data)
    elif arguments.labels and (arguments.images or not arguments.bundle):
        found = cases.read_folders(arguments.images, arguments.labels)
    else:
        raise OptionError(
            "There are no cases.",
            why="An evaluation needs references, and for bundles images.",
            mend="Give --cases, or --images and --labels, or for label files alone --labels.",
        )
    if (arguments.fold is None) != (arguments.splits is None):
        raise OptionError(
            "A fold is named in part.", why="It is a number and a file that lists it.", mend="Give --splits and --fold."
        )
    if arguments.splits:
        found = cases.of_fold(found, arguments.splits, arguments.fold)
    return cases.of_split(found, arguments.split) if arguments.split else found


def _plots(rows: Sequence["Row"], folder: Path) -> list[Path]:
    from EfficientSegLib.evaluation import curves

    drawn = [(curves.by_label, folder / "dice_by_label.png")]
    if len({row.top_k for row in rows if row.top_k is not None}) > 1:
        drawn.insert(0, (curves.by_patches, folder / "dice_by_patches.png"))
    for draw, path in drawn:
        draw(rows, path)
    return [path for _, path in drawn]


def _tell_failures(rows: Sequence["Row"]) -> int:
    failed = [row for row in rows if row.error]
    for row in failed:
        print(f"Failed: {row.run}: {row.error}", file=sys.stderr)
    return 1 if failed else 0


class _Bar:
    """One step per run; tqdm where it is installed, else a line each."""

    def __init__(self) -> None:
        self._bar = None
        self._make: Callable | None = None
        try:
            from tqdm import tqdm
        except ImportError:
            return
        self._make = tqdm

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, done: int, total: int, words: str) -> None:
        if self._make is None:
            if words:
                print(f"{done + 1} of {total}: {words}", file=sys.stderr, flush=True)
            return
        if self._bar is None or self._bar.total != total:
            self.__exit__()
            self._bar = self._make(total=total, file=sys.stderr, leave=False, dynamic_ncols=True, unit="run")
        self._bar.set_description_str(words, refresh=False)
        self._bar.n = done
        self._bar.refresh()
