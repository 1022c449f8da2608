"""Which device a run uses, and whether it works; torch is imported when asked, not before."""

import logging

from EfficientSegLib.errors import DeviceError

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose(device: str) -> str:
    """The device really used: "cuda", "mps" or "cpu".

    "auto" takes the GPU if it is there and can do a convolution, which a driver that does not match cannot.

    Raises:
        DeviceError: the name is unknown, or the device asked for is absent or does not work.
    """
    if device not in DEVICES:
        raise DeviceError(
            f"Unknown device {device!r}.", why=f"Known: {', '.join(DEVICES)}.", mend="Choose one of them."
        )
    if device == "cpu":
        return "cpu"
    if device != "auto":
        trouble = _trouble(device)
        if trouble:
            raise trouble
        return device
    for candidate in ("cuda", "mps"):
        trouble = _trouble(candidate)
        if trouble is None:
            return candidate
        if _is_there(candidate):
            logging.getLogger(__name__).warning("%s Using another device.", trouble)
    return "cpu"


def _is_there(device: str) -> bool:
    import torch

    return torch.cuda.is_available() if device == "cuda" else torch.backends.mps.is_available()


def _trouble(device: str) -> DeviceError | None:
    """Why a GPU cannot be used, or None."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        built = torch.version.cuda
        return DeviceError(
            "CUDA was asked for, and there is no usable NVIDIA GPU.",
            why=f"PyTorch {torch.__version__} was built {f'for CUDA {built}' if built else 'without CUDA'}"
            + (", and finds no GPU or no driver." if built else "."),
            mend='Choose device "auto" or "cpu"'
            + (", or update the NVIDIA driver." if built else ", or install a PyTorch built for CUDA."),
        )
    if device == "mps" and not torch.backends.mps.is_available():
        return DeviceError(
            "MPS was asked for, and is not there.",
            why="It needs a Mac with Apple Silicon, and a PyTorch for it.",
            mend='Choose device "auto" or "cpu".',
        )
    try:
        with torch.inference_mode():
            volume = torch.ones(1, 1, 4, 4, 4, device=device)
            answer = torch.nn.functional.conv3d(volume, torch.ones(1, 1, 3, 3, 3, device=device)).sum().item()
    except Exception as error:  # a driver's failures have no common type
        return DeviceError(
            f"The device {device!r} is there, and fails at a small convolution.",
            why=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}.",
            mend='Choose device "cpu", or update the driver and PyTorch so that they match.',
        )
    if abs(answer - 216) > 0.5:
        return DeviceError(
            f"The device {device!r} calculates wrongly: {answer:g} where 216 is right.",
            why="Its driver and PyTorch do not match, or it is broken.",
            mend='Choose device "cpu", or update the driver.',
        )
    return None
