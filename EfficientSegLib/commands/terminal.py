"""What the commands show in a terminal: progress on standard error, and errors as three lines."""

import sys
from typing import TextIO

from EfficientSegLib.protocol import Event, Failed, Progress, Started, Warned

WORDS = {
    "read": "reading the volume",
    "load": "loading the model",
    "prepare": "preparing",
    "coarse": "reading the overview",
    "patches": "reading patches",
    "extent": "finding where the structures begin and end",
    "slices": "reading slices",
    "restore": "back to the volume's grid",
    "review": "comparing with the overview",
    "write": "writing",
}


def show_error(failed: Failed, stream: TextIO | None = None) -> None:
    """What, why, and how to mend it: a line each."""
    print(failed.what, failed.why, failed.mend, sep="\n", file=stream or sys.stderr)


class ProgressBar:
    """Follows the events of a run; tqdm where it is installed, else one line per stage."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._stage = ""
        self._bar = _tqdm(self._stream)

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress):
            self._progress(event)
        elif isinstance(event, Started):
            self._say(
                f"device {event.device}, {event.threads} thread{'s' if event.threads > 1 else ''}, {event.precision}"
            )
        elif isinstance(event, Warned):
            self._say(f"Note: {event.text}")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _progress(self, event: Progress) -> None:
        words = WORDS.get(event.stage, event.stage)
        if event.total:
            words += f", {event.done} of {event.total}"
        if event.seconds_left is not None and event.done < event.total:
            words += f", {time_text(event.seconds_left)} left"
        if self._bar is not None:
            self._bar.set_description_str(words, refresh=False)
            self._bar.n = round(100 * event.fraction)
            self._bar.refresh()
        elif event.stage != self._stage:
            self._say(f"{event.fraction:4.0%}  {words}")
        self._stage = event.stage

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        else:
            print(text, file=self._stream, flush=True)


def time_text(seconds: float) -> str:
    """Seconds in words: "8 s", "1 min 10 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _tqdm(stream: TextIO):
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(
        total=100, file=stream, bar_format="{percentage:3.0f}% |{bar:24}| {desc}", leave=False, dynamic_ncols=True
    )
