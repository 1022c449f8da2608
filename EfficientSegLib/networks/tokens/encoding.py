"""What an encoder that drops tokens says of a patch, and how tokens of several depths become one volume again.

Shapes: B batch, n tokens of the patch without the class token, W width; places count tokens in raster order.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Tokens(NamedTuple):
    """Tokens that went equally deep, and where they lie."""

    values: Tensor  # (B, k, W)
    places: Tensor  # (B, k), ascending


def take(tokens: Tensor, places: Tensor) -> Tensor:
    """Tokens (B, n, W) at places (B, k) -> (B, k, W)."""
    return tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[2]))


class Encoding(Protocol):
    """The class token, and one set of tokens for each depth: dropped first, dropped second, ..., kept to the end."""

    first: Tensor  # (B, 1, W)

    @property
    def values(self) -> list[Tensor]:
        """Of each set, (B, k, W); every set has its own k."""
        ...

    def joined(self, parts: list[Tensor]) -> Tensor:
        """What was made of the values of each set, all in their places: (B, n, W)."""
        ...

    def filled(self, part: Tensor, filler: Tensor) -> Tensor:
        """What was made of the last set, in its places, and `filler` (W,) in all others: (B, n, W)."""
        ...

    def depths(self) -> Tensor:
        """Of every token the number of its set, (B, n), uint8."""
        ...


@dataclass(frozen=True)
class Parted:
    """Every token is in one set: an `Encoding` of which only what was kept has been computed."""

    first: Tensor
    sets: list[Tokens]

    @property
    def values(self) -> list[Tensor]:
        return [each.values for each in self.sets]

    def joined(self, parts: list[Tensor]) -> Tensor:
        return take(torch.cat(parts, dim=1), self._places().argsort(1))

    def filled(self, part: Tensor, filler: Tensor) -> Tensor:
        places = self.sets[-1].places[..., None].expand_as(part)
        whole = filler.to(part.dtype).expand(len(part), self._places().shape[1], -1)
        return whole.scatter(1, places, part)

    def depths(self) -> Tensor:
        numbers = [torch.full_like(each.places, number) for number, each in enumerate(self.sets)]
        places = self._places()
        return torch.empty_like(places).scatter_(1, places, torch.cat(numbers, dim=1)).to(torch.uint8)

    def _places(self) -> Tensor:
        return torch.cat([each.places for each in self.sets], dim=1)


@dataclass(frozen=True)
class Shared:
    """Every set has all tokens, each with a share of 0 or 1 through which gradients pass; shares add to 1."""

    first: Tensor
    values: list[Tensor]  # of each set, (B, n, W)
    shares: list[Tensor]  # of each set, (B, n)

    def joined(self, parts: list[Tensor]) -> Tensor:
        return sum(share[..., None].to(part.dtype) * part for share, part in zip(self.shares, parts, strict=True))

    def filled(self, part: Tensor, filler: Tensor) -> Tensor:
        share = self.shares[-1][..., None].to(part.dtype)
        return share * part + (1 - share) * filler

    def depths(self) -> Tensor:
        return torch.stack(self.shares).argmax(0).to(torch.uint8)
