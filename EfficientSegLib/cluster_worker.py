"""What runs inside a worker of Dask distributed: the same case by case as everywhere, with a warm model."""

import os
import socket
import threading
from dataclasses import replace

from distributed import Worker, WorkerPlugin, get_worker

from EfficientSegLib import __version__
from EfficientSegLib.environment import cores
from EfficientSegLib.kept import ModelKeeper
from EfficientSegLib.one_case import Task, do
from EfficientSegLib.studies.case import Entry

PLUGIN = "efficientseg"


class Warm(WorkerPlugin):
    """Keeps the model between the cases of one worker process, which does one at a time."""

    name = PLUGIN

    def setup(self, worker: Worker) -> None:
        self.models = ModelKeeper()
        self.lock = threading.Lock()


def trouble(version: str, output: str, bundle: str) -> str:
    """Why this worker cannot take part; "" if it can. Looks for the queue's own folder, which the client has made."""
    machine = socket.gethostname()
    if version != __version__:
        return f"{machine} has EfficientSeg {__version__}, and the queue was begun with {version}."
    missing = next((path for path in (output, bundle) if not os.path.isdir(path)), "")
    if missing:
        return f"{machine} does not see {missing}: all machines need the same folders under the same paths."
    return "" if os.access(output, os.W_OK) else f"{machine} may not write to {output}."


def work(task: Task, stop_file: str, neighbours: int) -> Entry:
    """Do one case, unless a process that was lost afterwards has done it before.

    Args:
        task: what is to be done; its folders are seen from here.
        stop_file: once it exists, the case is ended after the patch in hand.
        neighbours: workers of this machine, which share its cores.
    """
    warm = get_worker().plugins[PLUGIN]
    request = replace(task.request, threads=task.request.threads or max(cores() // neighbours, 1))
    with warm.lock:
        done = task.place.done_before(task.asked)
        if done is not None:
            return done
        task = replace(task, request=request, scratch=f"{task.scratch}-{os.getpid()}")
        return do(task, _nobody, warm.models, lambda: os.path.exists(stop_file), socket.gethostname())


def _nobody(event: object) -> None:
    """Events of a case are not sent over the network."""
