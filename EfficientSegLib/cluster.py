"""Many studies on many machines, through the workers of Dask distributed: an optional package.

All machines see input, output and bundle under the same paths and have the same version of EfficientSeg. A worker does
one case at a time, chosen here and not by Dask: when it dies, its case is known at once, and begun again once.
"""

import logging
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from EfficientSegLib import __version__
from EfficientSegLib.errors import DeviceError, OptionError
from EfficientSegLib.failures import explain
from EfficientSegLib.one_case import Task
from EfficientSegLib.studies.case import Entry, waiting

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_SECONDS = 15
PATIENCE_SECONDS = 120.0  # how long to wait while there is no worker
POLL_SECONDS = 0.5
MOST_DEATHS = 2  # of workers at one case: it is begun again once


@dataclass(frozen=True)
class _Flight:
    """A case under way."""

    task: Task
    worker: str  # address
    deaths: int


class Cluster:
    """The workers of one scheduler, for as long as the block lasts.

    Args:
        address: of the scheduler, such as tcp://10.0.0.5:8786.
        tell: told in words what concerns no single case.
        patience: seconds to wait while there is no worker that can take part.

    Raises:
        OptionError: the package distributed is missing.
        DeviceError: no scheduler answers.
    """

    def __init__(self, address: str, tell: Callable[[str], None], patience: float = PATIENCE_SECONDS) -> None:
        self._tell, self._patience = tell, patience
        self._client = _connect(address)
        self._address = address
        self._fit: dict[str, bool] = {}  # of each worker that was looked at
        self._reasons: list[str] = []  # why others cannot take part

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_) -> None:
        self._client.close()

    def do_all(self, tasks: Sequence[Task], should_stop: Callable[[], bool]) -> Iterator[Entry]:
        """Entries of all tasks as they begin and end, each ending once; what was not begun when asked to stop waits.

        Raises:
            DeviceError: no worker can take part, or all have gone.
        """
        if not tasks:
            return
        stop_file = Path(tasks[0].scratch).parent / "stop"
        left = deque((task, 0) for task in tasks)
        flights: dict[Future, _Flight] = {}
        last_seen = time.monotonic()
        while left or flights:
            if should_stop():
                stop_file.touch()
                left.clear()
            there = self._workers(tasks[0])
            last_seen = time.monotonic() if there else last_seen
            if not there and time.monotonic() - last_seen > self._patience:
                raise self._nobody()
            for worker in sorted(there - {flight.worker for flight in flights.values()}):
                if left:
                    flight = _Flight(left[0][0], worker, left.popleft()[1])
                    flights[self._send(flight, str(stop_file), there)] = flight
                    yield replace(waiting(flight.task.case), state="running", machine=worker, deaths=flight.deaths)
            _wait(flights)
            for future, flight in list(flights.items()):
                answer = self._answer(future, flight, there)
                if answer is None:
                    continue
                del flights[future]
                if isinstance(answer, Entry):
                    yield answer
                elif not should_stop():
                    left.append((flight.task, flight.deaths + 1))  # after the others: it may be its own fault

    def _send(self, flight: _Flight, stop_file: str, there: set[str]) -> "Future":
        from EfficientSegLib.cluster_worker import work

        hosts = Counter(_host(worker) for worker in there)
        return self._client.submit(
            work,
            flight.task,
            stop_file,
            hosts[_host(flight.worker)],
            workers=[flight.worker],
            allow_other_workers=False,
            retries=0,
            pure=False,
            key=f"efficientseg-{uuid.uuid4().hex}",
        )

    def _answer(self, future: "Future", flight: _Flight, there: set[str]) -> "Entry | str | None":
        """Its entry; "again" where its worker has died; None while it is under way."""
        if future.done() and not future.cancelled():
            try:
                return replace(future.result(timeout=POLL_SECONDS), deaths=flight.deaths)
            except Exception as error:  # lost with its worker, or something in Dask between us and the case
                if flight.worker in self._client.nthreads():
                    return waiting(flight.task.case).failed(explain(error))
        elif flight.worker in there:
            return None
        future.cancel()
        deaths = flight.deaths + 1
        if deaths < MOST_DEATHS:
            self._tell(f"The worker {flight.worker} died at {flight.task.case.name}, which is begun again.")
            return "again"
        entry = replace(waiting(flight.task.case), deaths=deaths, machine=_host(flight.worker))
        return replace(
            entry,
            state="failed",
            what="Its worker died, twice.",
            why=f"The last was {flight.worker}; want of memory is the usual reason.",
            mend="Give the workers more memory or read fewer patches; look at their logs.",
        )

    def _workers(self, sample: Task) -> set[str]:
        """Addresses of those that can take part; a new one is looked at first."""
        from EfficientSegLib import cluster_worker

        known = set(self._client.nthreads())
        for worker in known - set(self._fit):
            if not self._fit:
                self._client.register_plugin(cluster_worker.Warm())
            asked = (__version__, str(Path(sample.scratch).parent), sample.request.bundle)
            try:
                found = self._client.run(cluster_worker.trouble, *asked, workers=[worker])
            except Exception as error:  # it has gone again, or has no EfficientSeg: Dask's errors have no common type
                logging.getLogger(__name__).debug("Worker %s did not answer.", worker, exc_info=True)
                found = {worker: f"{worker} cannot run EfficientSeg. {explain(error).what}"}
            reason = found.get(worker, "")
            self._fit[worker] = not reason
            if reason:
                self._reasons.append(reason)
                self._tell(f"{reason} It is left out.")
        return {worker for worker in known if self._fit.get(worker)}

    def _nobody(self) -> DeviceError:
        return DeviceError(
            f"No worker of {self._address} can take part.",
            why=" ".join(self._reasons[-3:]) or "None is connected to the scheduler.",
            mend=f"Start some: dask worker {self._address} --nthreads 1. What is done is kept; run the same again.",
        )


def _connect(address: str) -> "Client":
    try:
        from distributed import Client
    except ImportError as error:
        raise OptionError(
            f"--scheduler {address} needs the package distributed.",
            why="It is not installed in this Python.",
            mend="Install it here and on all machines: pip install distributed, or leave --scheduler away.",
        ) from error
    try:
        return Client(address, timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError, ValueError) as error:
        raise DeviceError(
            f"No scheduler answers at {address}.",
            why=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}.",
            mend="Start one with `dask scheduler`, and give the address that it says, such as tcp://10.0.0.5:8786.",
        ) from error


def _wait(flights: "dict[Future, _Flight]") -> None:
    """Until one has ended, or a moment."""
    from distributed import wait

    if not flights:
        time.sleep(POLL_SECONDS)
        return
    try:
        wait(list(flights), timeout=POLL_SECONDS, return_when="FIRST_COMPLETED")
    except TimeoutError:
        return


def _host(worker: str) -> str:
    return worker.rpartition("://")[2].rpartition(":")[0]
