"""`slicer.i18n`: every text stays English."""


def tr(text: str) -> str:
    return text


def translate(context: str, text: str) -> str:
    return text


def getContext(sourceFile: str) -> str:
    """Translation context of a file: its name without folder and ending."""
    from pathlib import Path

    return Path(sourceFile).stem
