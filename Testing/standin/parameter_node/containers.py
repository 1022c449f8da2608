"""Lists and dicts that write themselves back into the parameter node at every change."""

from collections.abc import Iterator, MutableMapping, MutableSequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def modifying(node: Any) -> Iterator[None]:
    """One Modified event for all that happens inside."""
    before = node.StartModify()
    try:
        yield
    finally:
        node.EndModify(before)


class ObservedList(MutableSequence):
    """A list that writes itself back at every change."""

    def __init__(self, codec: Any, node: Any, name: str, items: list) -> None:
        self._codec, self._node, self._name, self._items = codec, node, name, items

    def _save(self, items: list) -> None:
        with modifying(self._node):
            self._codec.write(self._node, self._name, items)
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        items = list(self._items)
        items[index] = value
        self._save(items)

    def __delitem__(self, index: Any) -> None:
        items = list(self._items)
        del items[index]
        self._save(items)

    def insert(self, index: int, value: Any) -> None:
        items = list(self._items)
        items.insert(index, value)
        self._save(items)

    def __eq__(self, other: object) -> bool:
        return self._items == (other._items if isinstance(other, ObservedList) else other)

    __hash__ = None

    def __repr__(self) -> str:
        return f"ObservedList({self._items})"


class ObservedDict(MutableMapping):
    """A dict that writes itself back at every change."""

    def __init__(self, codec: Any, node: Any, name: str, items: dict) -> None:
        self._codec, self._node, self._name, self._items = codec, node, name, items

    def _save(self, items: dict) -> None:
        with modifying(self._node):
            self._codec.write(self._node, self._name, items)
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator:
        return iter(self._items)

    def __getitem__(self, key: Any) -> Any:
        return self._items[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._save({**self._items, key: value})

    def __delitem__(self, key: Any) -> None:
        items = dict(self._items)
        del items[key]
        self._save(items)

    def __repr__(self) -> str:
        return f"ObservedDict({self._items})"
