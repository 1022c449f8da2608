"""Errors that a person can act on: what happened, why, and how to mend it."""


class EfficientSegError(Exception):
    """Base of all errors meant for the user.

    Args:
        what: the fact, with the offending value, as one sentence.
        why: the reason.
        mend: what to do now.
    """

    def __init__(self, what: str, *, why: str, mend: str) -> None:
        super().__init__(what, why, mend)
        self.what = what
        self.why = why
        self.mend = mend

    def __str__(self) -> str:
        return " ".join((self.what, self.why, self.mend))

    def __reduce__(self):
        return _rebuild, (type(self), self.what, self.why, self.mend)


def _rebuild(kind: type[EfficientSegError], what: str, why: str, mend: str) -> EfficientSegError:
    return kind(what, why=why, mend=mend)


class OptionError(EfficientSegError):
    """An option is unknown, of the wrong type or out of range."""


class ContinuationError(OptionError):
    """An earlier run is not the beginning of the one asked for; without it, the run can be done."""


class BundleError(EfficientSegError):
    """A model bundle cannot be used as it is."""


class DownloadError(EfficientSegError):
    """Something could not be fetched from another computer."""


class VolumeError(EfficientSegError):
    """An image cannot be read, written or segmented."""


class DeviceError(EfficientSegError):
    """A device, or the memory on it, is not there."""


class ProtocolError(EfficientSegError):
    """A message between the application and the worker cannot be understood."""


class TrainingError(EfficientSegError):
    """A training cannot start or go on."""
