"""`plan`: a data set in, the configuration of a training out."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from EfficientSegLib.errors import OptionError
from EfficientSegLib.files import replacing


def run(arguments: argparse.Namespace) -> int:
    """Measure the data set and write the configuration; an older file stays as it is.

    Raises:
        EfficientSegError: the data set cannot be used, or the file is there.
    """
    from EfficientSegLib.training.plan import Choices, plan

    output = Path(arguments.output)
    if output.exists():
        raise OptionError(f"{output} is there.", why="It may have been edited.", mend="Remove it, or use another name.")
    choices = Choices(
        network=arguments.network,
        local=arguments.local,
        encoder=arguments.encoder,
        modality=arguments.modality,
        spacing_mm=arguments.spacing,
        patch_size=arguments.patch,
        downsampling=arguments.downsampling,
        largest=arguments.largest,
        iterations=arguments.iterations,
        minutes=arguments.minutes,
        fold=arguments.fold,
        folds=arguments.folds,
        seed=arguments.seed,
    )
    planned = plan(arguments.dataset, choices)
    with replacing(output) as part:
        part.write_text(json.dumps(planned, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    network = planned["bundle"]["network"]
    print(
        f"{output}: {network['name']}, {len(planned['cases'])} cases to train on, {len(planned['validation'])} to "
        f"validate, {planned['bundle']['modality']} at {_by(planned['bundle']['preprocess']['spacing_mm'])} mm.\n"
        "Look at it, fill in the licences, then: "
        f"python -m EfficientSegLib train {_quoted(output)} --data {_quoted(arguments.dataset)} --output RUN_FOLDER"
    )
    return 0


def three(kind: type) -> Callable[[str], tuple]:
    """What reads three numbers with commas between them, for argparse."""

    def read(text: str) -> tuple:
        parts = text.split(",")
        try:
            values = tuple(kind(part) for part in parts)
        except ValueError:
            values = ()
        if len(values) != 3:
            raise argparse.ArgumentTypeError(f"{text!r} is not three numbers such as 1,1,3")
        return values

    return read


def _quoted(path: str | Path) -> str:
    """As a shell takes it, on every system."""
    return f'"{path}"' if " " in str(path) else str(path)


def _by(values: tuple[float, ...]) -> str:
    return " x ".join(f"{value:g}" for value in values)
