"""vLLM's HTTP API for LoRA adapters, as a client sees it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from signalbox.adapters.config import Adapter

PROBE_TIMEOUT = 10.0
"""Seconds /health and /v1/models may take at most: unlike a load, they do no work."""


class ServerError(Exception):
    """A request to the model server that did not do what it was for; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What /v1/models lists: the root of each adapter by its id, and the names of the base model."""

    adapters: dict[str, str | None]
    base_models: frozenset[str]


class ServerAPI:
    """One model server. ``server`` is its HOST:PORT, ``dial`` the one to connect to instead; timeouts are seconds."""

    def __init__(
        self, session: aiohttp.ClientSession, server: str, dial: str | None = None, request_timeout: float = 120.0
    ) -> None:
        self.server = server
        self._session = session
        self._base = f"http://{dial or server}"
        self._headers = {"Host": server} if dial else {}
        self._timeout = request_timeout

    async def healthy(self) -> bool:
        """Whether GET /health answers 200; a server that cannot be reached is not healthy."""
        try:
            status, _ = await self._request("GET", "/health", min(PROBE_TIMEOUT, self._timeout))
        except ServerError:
            return False
        return status == 200

    async def listing(self, default_base_model: str = "") -> Listing:
        """GET /v1/models. Raises ``ServerError`` for any answer that is not a list of models, and on no answer."""
        status, text = await self._request("GET", "/v1/models", min(PROBE_TIMEOUT, self._timeout))
        if status != 200:
            raise ServerError(f"GET /v1/models: status {status}: {_message(text)}")
        try:
            cards = json.loads(text)["data"]
            if not all(isinstance(card, dict) and isinstance(card["id"], str) for card in cards):
                raise TypeError
        except (ValueError, LookupError, TypeError):
            raise ServerError(f"GET /v1/models: not a list of models: {_shortened(text)}") from None
        parents = {card.get("parent") for card in cards} | {default_base_model}
        # A base model's card has no parent, but old servers leave it out of an adapter's, too.
        bases = frozenset(
            card["id"]
            for card in cards
            if not card.get("parent")
            and (card["id"] in parents or card.get("root") == card["id"] or card.get("max_model_len") is not None)
        )
        roots = {card["id"]: card.get("root") for card in cards if card["id"] not in bases}
        return Listing({id: root if isinstance(root, str) else None for id, root in roots.items()}, bases)

    async def load(self, adapter: Adapter, base_model: str) -> bool:
        """Load an adapter; ``False`` if the server says that it has it already. Raises ``ServerError``."""
        body = {"lora_name": adapter.id, "lora_path": adapter.source, "base_model_name": base_model}
        status, text = await self._request("POST", "/v1/load_lora_adapter", self._timeout, body)
        if status == 400 and "has already been loaded" in _message(text):
            return False
        self._check(status, text)
        return True

    async def unload(self, id: str) -> bool:
        """Unload an adapter; ``False`` if the server says that it does not have it. Raises ``ServerError``."""
        status, text = await self._request("POST", "/v1/unload_lora_adapter", self._timeout, {"lora_name": id})
        if status == 404 and not _no_such_route(text):
            return False
        self._check(status, text)
        return True

    def _check(self, status: int, text: str) -> None:
        if status == 404 and _no_such_route(text):
            raise ServerError(
                "the server cannot load adapters at run time; "
                "start it with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=true"
            )
        if not 200 <= status < 300:
            raise ServerError(f"status {status}: {_message(text)}")

    async def _request(
        self, method: str, path: str, timeout: float, body: dict[str, str] | None = None
    ) -> tuple[int, str]:
        try:
            async with self._session.request(
                method,
                self._base + path,
                json=body,
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=timeout),
                allow_redirects=False,
            ) as response:
                return response.status, (await response.read()).decode(errors="replace")
        except TimeoutError:
            raise ServerError(f"{method} {path}: no answer within {timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ServerError(f"{method} {path}: {error or type(error).__name__}") from None


def _error(text: str) -> Any:
    try:
        body = json.loads(text)
    except ValueError:
        return None
    # Nested since vLLM 0.10.1, flat before; a string behind some proxies.
    return body.get("error", body) if isinstance(body, dict) else None


def _message(text: str) -> str:
    """What an error body says, in any of the shapes servers use."""
    error = _error(text)
    said = error.get("message", error.get("detail")) if isinstance(error, dict) else error
    return said if isinstance(said, str) else _shortened(text)


def _no_such_route(text: str) -> bool:
    """Whether a 404 is about the path, not about the adapter."""
    return _message(text).strip() in ("Not Found", "404: Not Found")


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else f"{line[:200]}..."
