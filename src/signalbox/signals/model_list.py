"""From the answer to ``GET /v1/models`` to the models of a server."""

from __future__ import annotations

from typing import Any

import msgspec

from signalbox.pool import ModelList


class _Card(msgspec.Struct):
    id: str
    parent: Any = None
    root: Any = None
    max_model_len: Any = None


class _Cards(msgspec.Struct):
    data: list[_Card]


_DECODER = msgspec.json.Decoder(_Cards)


def parse_models(body: bytes) -> ModelList | None:
    """Read the list; ``None`` where the body is none. Never raises.

    A card with a parent is an adapter. Servers before vLLM 0.6 leave the parent out: there an adapter is what no card
    names as its parent, has another root than its name and no length limit of its own, which base models have.
    """
    try:
        cards = _DECODER.decode(body).data
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    parents = {card.parent for card in cards if isinstance(card.parent, str)}
    return ModelList(
        frozenset(card.id for card in cards),
        frozenset(card.id for card in cards if card.parent or _looks_like_an_adapter(card, parents)),
    )


def _looks_like_an_adapter(card: _Card, parents: set[str]) -> bool:
    return (
        card.id not in parents
        and isinstance(card.root, str)
        and card.root not in ("", card.id)
        and card.max_model_len is None
    )
