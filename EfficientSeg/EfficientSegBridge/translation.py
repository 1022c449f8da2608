"""The translation function of the application; where there is none, texts stay in English."""

try:
    from slicer.i18n import tr as _
except ImportError:  # before Slicer 5.4

    def _(text: str) -> str:
        return text


__all__ = ["_"]
