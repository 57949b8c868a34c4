"""Which names this server answers to: the base model's aliases and the adapters, which come and go."""

import asyncio
import time
from typing import Any
from uuid import uuid4

from signalbox.modelserver.driver import EngineDriver
from signalbox.modelserver.errors import bad_request, invalid_input, not_found
from signalbox.modelserver.options import ServerOptions
from signalbox.modelserver.protocol import LoadAdapterRequest, UnloadAdapterRequest


class ServedModels:
    """Names of the base model and of loaded adapters."""

    def __init__(self, options: ServerOptions, driver: EngineDriver) -> None:
        self._options = options
        self._driver = driver
        self._adapters: dict[str, tuple[str, str]] = {}  # name -> (path, parent)
        self._locks: dict[str, asyncio.Lock] = {}
        for module in options.lora_modules:
            driver.engine.adapters.load(module.name)  # before the server listens, so that nobody waits for it
            self._adapters[module.name] = (module.path, module.base_model_name or options.served_names[0])

    def resolve(self, name: str | None) -> tuple[str, str | None]:
        """(the name to answer with, the adapter or None for the base model); raises ApiError 404."""
        if not name:
            return self._options.served_names[0], None
        if name in self._options.served_names:
            return name, None
        if name in self._adapters:
            return name, name
        raise not_found(f"The model `{name}` does not exist.", "model")

    async def load(self, body: LoadAdapterRequest) -> str:
        """POST /v1/load_lora_adapter; returns once the weights are in."""
        name = body.lora_name
        if not name or not body.lora_path:
            raise invalid_input("Both 'lora_name' and 'lora_path' must be provided.")
        if not self._options.enable_lora:
            raise bad_request("LoRA is not enabled on this server; start it with --enable-lora.")
        async with self._locks.setdefault(name, asyncio.Lock()):
            if name in self._adapters and not body.load_inplace:
                raise invalid_input(
                    f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, "
                    "set 'load_inplace' to True."
                )
            try:
                await asyncio.sleep(self._driver.load_adapter(name))
            except asyncio.CancelledError:
                if name not in self._adapters:
                    self._driver.engine.unload_adapter(name)
                raise
            self._adapters[name] = (body.lora_path, self._options.served_names[0])
        return f"Success: LoRA adapter '{name}' added successfully."

    async def unload(self, body: UnloadAdapterRequest) -> str:
        """POST /v1/unload_lora_adapter; requests in flight finish."""
        name = body.lora_name
        if not name:
            raise invalid_input("'lora_name' needs to be provided to unload a LoRA adapter.")
        async with self._locks.setdefault(name, asyncio.Lock()):
            if name not in self._adapters:
                raise not_found(f"The lora adapter '{name}' cannot be found.")
            del self._adapters[name]
            self._driver.engine.unload_adapter(name)
        return f"Success: LoRA adapter '{name}' removed successfully."

    def cards(self) -> dict[str, Any]:
        """GET /v1/models: aliases of the base first, then adapters in order of loading."""
        options = self._options
        cards = [_card(name, options.model, None, options.engine.max_model_len) for name in options.served_names]
        cards += [_card(name, path, parent, None) for name, (path, parent) in self._adapters.items()]
        return {"object": "list", "data": cards}


def _card(name: str, root: str, parent: str | None, max_model_len: int | None) -> dict[str, Any]:
    created = int(time.time())
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "vllm",
        "root": root,
        "parent": parent,
        "max_model_len": max_model_len,
        "permission": [
            {
                "id": f"modelperm-{uuid4().hex}",
                "object": "model_permission",
                "created": created,
                "allow_create_engine": False,
                "allow_sampling": True,
                "allow_logprobs": True,
                "allow_search_indices": False,
                "allow_view": True,
                "allow_fine_tuning": False,
                "organization": "*",
                "group": None,
                "is_blocking": False,
            }
        ],
    }
