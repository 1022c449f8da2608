"""Many studies: a folder tree in, a mirrored tree of segmentations and a table out. What is done is not done again."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from EfficientSegLib import bundle as bundles
from EfficientSegLib import devices, study_tree
from EfficientSegLib.bundle import Bundle
from EfficientSegLib.errors import VolumeError
from EfficientSegLib.files import scratch_in
from EfficientSegLib.kept import ModelKeeper
from EfficientSegLib.one_case import SCRATCH, Task, do
from EfficientSegLib.protocol import Event, Request
from EfficientSegLib.studies.books import Books
from EfficientSegLib.studies.case import Case, Entry, waiting
from EfficientSegLib.studies.place import SEGMENTATION, Place, asked


@dataclass(frozen=True)
class Batch:
    """What is asked for."""

    input: Path
    output: Path
    request: Request  # bundle, strategy, options, device and so on; input and output_dir are set for each case
    ending: str = SEGMENTATION
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    limit: int | None = None  # cases to run, at most
    again: bool = False  # also what was done before in the same way


@dataclass(frozen=True)
class Plan:
    """The cases of a tree, each with its entry, and what is in the tree besides."""

    bundle: Bundle
    asked: dict
    cases: tuple[Case, ...]
    entries: tuple[Entry, ...]  # of each case: done before, or waiting
    left_out: tuple[study_tree.LeftOut, ...]


class Listener:
    """Told how a queue goes; does nothing by itself."""

    def began(self, entry: Entry, number: int, total: int) -> None:
        """A case begins, the `number`th of `total` that are to be run."""

    def heard(self, event: Event) -> None:
        """An event of the run under way on this machine."""

    def ended(self, entry: Entry, number: int, total: int) -> None:
        """A case has ended; `number` have by now."""

    def said(self, text: str) -> None:
        """Something that concerns no single case."""


def plan(batch: Batch) -> Plan:
    """Find the cases and what is done of them; nothing is written.

    Raises:
        EfficientSegError: the bundle, the input or the output cannot be used.
    """
    bundle = bundles.load(batch.request.bundle)
    if batch.output.exists() and not batch.output.is_dir():
        raise VolumeError(
            f"{batch.output} is a file.", why="Results go into a folder.", mend="Choose another name with -o."
        )
    found = study_tree.find(batch.input, bundle.modality, batch.output, batch.include, batch.exclude)
    wished = asked(bundle, batch.request, batch.ending)
    entries = []
    for case in found.cases:
        place = Place(batch.output, case, batch.ending, batch.request.tokens)
        entries.append((None if batch.again else place.done_before(wished)) or waiting(case))
    return Plan(bundle, wished, found.cases, tuple(entries), found.left_out)


def run(
    batch: Batch, listener: Listener, should_stop: Callable[[], bool], do_all: "DoAll | None" = None
) -> list[Entry]:
    """Do all cases that are not done; the tables and the queue lie in the output folder when this returns.

    Args:
        should_stop: asked often; the case in hand is then ended after the patch in hand, and kept as far as it came.
        do_all: does the tasks elsewhere, see `cluster.Cluster.do_all`; None: here, one after the other.

    Returns:
        The entries of the cases of this batch; the tables also hold what other batches left in the folder.

    Raises:
        EfficientSegError: nothing can be begun: bundle, folders, device. What concerns one case is in its entry.
    """
    planned = plan(batch)
    books = Books(batch.output, planned.bundle.title, planned.entries, listener.said)
    with books, _scratch(batch.output) as scratch:
        tasks = _tasks(batch, planned, books, scratch)
        begun, ended = set(), 0
        for entry in (do_all or _here(planned.bundle, listener))(tasks, should_stop):
            entry = books.put(entry)
            if entry.state == "running":
                begun.add(entry.case)
                listener.began(entry, len(begun), len(tasks))
            else:
                ended += 1
                listener.ended(entry, ended, len(tasks))
    return [books.entry(case.name) for case in planned.cases]


def _tasks(batch: Batch, planned: Plan, books: Books, scratch: Path) -> list[Task]:
    """What is to be run: cases at which a process has died come last, lest they keep the others waiting."""
    cases = [case for case in planned.cases if books.entry(case.name).state == "waiting"]
    cases = sorted(cases, key=lambda case: books.entry(case.name).deaths)[: batch.limit]
    return [
        Task(case, batch.request, str(batch.output), batch.ending, planned.asked, str(scratch / str(number)))
        for number, case in enumerate(cases)
    ]


DoAll = Callable[[Sequence[Task], Callable[[], bool]], Iterator[Entry]]


def _here(bundle: Bundle, listener: Listener) -> DoAll:
    """One after the other in this process, with one warm model."""

    def one_by_one(tasks: Sequence[Task], should_stop: Callable[[], bool]) -> Iterator[Entry]:
        from EfficientSegLib import strategies

        models = ModelKeeper()
        if tasks:
            wanted = tasks[0].request  # what would fail every case ends the batch before the first
            device = devices.choose(devices.check_backend(wanted.backend, wanted.device))
            precision = devices.choose_precision(wanted.precision, device, bundle, wanted.backend)
            model = models.get(bundle, device, precision, wanted.backend)
            strategy = bundle.run_strategy(wanted.strategy, wanted.options)
            strategies.check_model(strategy.name, strategy.options, model)
        for task in tasks:
            if should_stop():
                return
            yield replace(waiting(task.case), state="running")
            yield do(task, listener.heard, models, should_stop)

    return one_by_one


@contextmanager
def _scratch(output: Path) -> Iterator[Path]:
    """A folder for half-made results, apart from the results themselves."""
    home = output / SCRATCH
    try:
        with scratch_in(home) as folder:
            yield folder
    finally:
        with suppress(OSError):  # another machine's may lie there too
            home.rmdir()
