"""Bytes as they come from a pipe, joined to whole lines."""


class LineAssembler:
    """Decodes whole lines as UTF-8 with replacement, so that an odd byte never loses an event."""

    def __init__(self) -> None:
        self._tail = b""

    def add(self, data: bytes) -> list[str]:
        """The lines that are whole now, without their ends."""
        *lines, self._tail = (self._tail + bytes(data)).split(b"\n")
        return [line.decode("utf-8", errors="replace").rstrip("\r") for line in lines]

    def rest(self) -> list[str]:
        """What is left without an end, once nothing more comes."""
        tail, self._tail = self._tail, b""
        return [tail.decode("utf-8", errors="replace")] if tail else []
