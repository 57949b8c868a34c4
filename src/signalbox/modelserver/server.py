"""One simulated vLLM server: its routes, and the life of its listening socket."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from signalbox.engine import Engine
from signalbox.modelserver.driver import EngineDriver
from signalbox.modelserver.errors import ApiError
from signalbox.modelserver.faults import FaultInjector, Faults
from signalbox.modelserver.generation import Generation
from signalbox.modelserver.kv_events import EventPublisher
from signalbox.modelserver.metrics import ServerMetrics
from signalbox.modelserver.models import ServedModels
from signalbox.modelserver.options import ServerOptions
from signalbox.modelserver.protocol import (
    ChatCompletionRequest,
    CompletionRequest,
    DetokenizeRequest,
    LoadAdapterRequest,
    TokenizeRequest,
    UnloadAdapterRequest,
    decode,
)
from signalbox.modelserver.tokenizer import Tokenizer

VLLM_VERSION = "0.33.0"  # the release whose API and metrics this server shows
_LARGEST_BODY = 64 * 1024**2
_JSON = "application/json"
_log = logging.getLogger("signalbox.modelserver")

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class ModelServer:
    """A simulated vLLM server in this event loop.

    ``runtime_lora`` is vLLM's VLLM_ALLOW_RUNTIME_LORA_UPDATING: without it the LoRA endpoints are not there.
    """

    def __init__(
        self,
        options: ServerOptions,
        *,
        runtime_lora: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.options = options
        config = options.engine
        metrics = ServerMetrics(
            options.served_names[0],
            config.max_model_len,
            _cache_config(options),
            config.max_loras if options.enable_lora else None,
        )
        self.driver = EngineDriver(Engine(options.profile, config), metrics, options.speed, clock)
        self._metrics = metrics
        self._tokenizer = Tokenizer()
        self._models = ServedModels(options, self.driver)
        self._faults = FaultInjector()
        self._generation = Generation(options, self.driver, self._models, self._tokenizer, self._faults)
        self._requests = 0
        self._last_request = time.monotonic()
        self._ready_at = time.monotonic() + options.startup_seconds
        self._draining = False
        self._keys = {f"Bearer {key}" for key in options.api_keys}
        self._routes = self._make_routes(runtime_lora)
        self._runner: web.ServerRunner | None = None
        self._events: EventPublisher | None = None

    async def start(self, host: str | None = None, port: int | None = None) -> int:
        """Listen (by default where the options say); the port. Raises OSError if the address is in use."""
        events = self.options.kv_events
        if events is not None and self.options.engine.prefix_caching:
            self._events = EventPublisher(events, self.options.engine.block_size, self.options.host)
            await self._events.start()
            self.driver.listen_to_cache(self._events.publish)
        server = web.Server(
            self._handle,
            request_factory=_make_request,
            handler_cancellation=True,  # a client that goes away ends its request
            access_log=None,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        options = self.options
        site = web.TCPSite(
            self._runner,
            options.host if host is None else host,
            options.port if port is None else port,
            backlog=1024,
        )
        await site.start()
        return int(self._runner.addresses[0][1])

    async def drain(self, quiet: float, longest: float, poll: float = 0.02) -> bool:
        """Answer /health with 503 and go on serving.

        True once no request came or ran for ``quiet`` seconds, False after ``longest`` seconds.
        """
        self._draining = True
        self._last_request = time.monotonic()
        deadline = self._last_request + longest
        while True:
            now = time.monotonic()
            if not self._requests and now - self._last_request >= quiet:
                return True
            if now >= deadline:
                return False
            await asyncio.sleep(min(poll, deadline - now))

    async def close(self) -> None:
        """Stop listening and drop what is open."""
        if self._runner is not None:
            await self._runner.cleanup()
        self.driver.close()
        if self._events is not None:
            await self._events.close()

    @property
    def healthy(self) -> bool:
        """What /health says."""
        return not self._draining and time.monotonic() >= self._ready_at

    # -- routing ------------------------------------------------------------------------------------------------------

    def _make_routes(self, runtime_lora: bool) -> dict[str, dict[str, Handler]]:
        models, tokenizer = self._models, self._tokenizer
        count = self.options.engine.max_model_len

        async def load(body: LoadAdapterRequest) -> web.Response:
            return web.Response(text=await models.load(body))

        async def unload(body: UnloadAdapterRequest) -> web.Response:
            return web.Response(text=await models.unload(body))

        async def tokenize(body: TokenizeRequest) -> web.Response:
            models.resolve(body.model)
            tokens = await tokenizer.encode_in_turns(body.text(), add_special_tokens=body.add_special_tokens)
            strings = tokenizer.pieces(tokens) if body.return_token_strs else None
            return _json({"count": len(tokens), "max_model_len": count, "tokens": tokens, "token_strs": strings})

        async def render(body: CompletionRequest) -> web.Response:
            models.resolve(body.model)
            found = [
                await tokenizer.encode_in_turns(prompt) if isinstance(prompt, str) else prompt
                for prompt in body.prompts()
            ]
            return _json([{"token_ids": ids, "features": None} for ids in found])

        async def render_chat(body: ChatCompletionRequest) -> web.Response:
            models.resolve(body.model)
            return _json({"token_ids": await tokenizer.encode_in_turns(body.prompt()), "features": None})

        async def detokenize(body: DetokenizeRequest) -> web.Response:
            models.resolve(body.model)
            return _json({"prompt": tokenizer.decode(body.tokens)})

        async def set_faults(body: Faults) -> web.Response:
            self._faults.replace(body)
            _log.warning("faults now in force: %s", body)
            return _json(msgspec.to_builtins(body))

        routes: dict[str, dict[str, Handler]] = {
            "/v1/completions": {"POST": self._completions},
            "/v1/chat/completions": {"POST": self._chat_completions},
            "/v1/completions/render": {"POST": _reads(CompletionRequest, render)},
            "/v1/chat/completions/render": {"POST": _reads(ChatCompletionRequest, render_chat)},
            "/v1/models": {"GET": _answers(lambda: _json(models.cards()))},
            "/tokenize": {"POST": _reads(TokenizeRequest, tokenize)},
            "/detokenize": {"POST": _reads(DetokenizeRequest, detokenize)},
            "/metrics": {"GET": _answers(self._show_metrics)},
            "/health": {"GET": _answers(self._show_health)},
            "/ping": {"GET": _answers(self._show_health), "POST": _answers(self._show_health)},
            "/version": {"GET": _answers(lambda: _json({"version": VLLM_VERSION}))},
            "/load": {"GET": _answers(lambda: _json({"server_load": self._requests}))},
        }
        if runtime_lora:
            routes["/v1/load_lora_adapter"] = {"POST": _reads(LoadAdapterRequest, load)}
            routes["/v1/unload_lora_adapter"] = {"POST": _reads(UnloadAdapterRequest, unload)}
        if self.options.enable_faults:
            shown = _answers(lambda: _json(msgspec.to_builtins(self._faults.faults)))
            routes["/admin/faults"] = {"GET": shown, "POST": _reads(Faults, set_faults)}
        return routes

    async def _handle(self, http: web.BaseRequest) -> web.StreamResponse:
        try:
            response = await self._dispatch(http)
        except ApiError as error:
            response = web.Response(body=error.body(), status=error.status, content_type=_JSON)
        except ConnectionResetError:  # the client went while a chunk was being written
            response = web.Response(status=499)
        except web.HTTPRequestEntityTooLarge as error:
            too_large = ApiError(413, error.text or "Request body too large", "Request Entity Too Large")
            response = web.Response(body=too_large.body(), status=413, content_type=_JSON)
        except Exception:
            _log.exception("%s %s", http.method, http.path)
            broken = ApiError(500, "Internal server error", "InternalServerError")
            response = web.Response(body=broken.body(), status=500, content_type=_JSON)
        if not response.prepared:
            if self._draining:
                response.force_close()
            if self.options.request_id_headers and "X-Request-Id" in http.headers:
                response.headers["X-Request-Id"] = http.headers["X-Request-Id"]
        return response

    async def _dispatch(self, http: web.BaseRequest) -> web.StreamResponse:
        path = http.path
        methods = self._routes.get(path)
        if methods is None:
            raise ApiError(404, "Not Found", "Not Found")
        handler = methods.get(http.method)
        if handler is None:
            raise ApiError(405, "Method Not Allowed", "Method Not Allowed")
        if self._keys and path.startswith("/v1/") and http.headers.get("Authorization") not in self._keys:
            return _json({"error": "Unauthorized"}, status=401)
        return await handler(http)

    async def _completions(self, http: web.BaseRequest) -> web.StreamResponse:
        return await self._counted(http, _COMPLETION, self._generation.complete)

    async def _chat_completions(self, http: web.BaseRequest) -> web.StreamResponse:
        return await self._counted(http, _CHAT, self._generation.chat)

    async def _counted(
        self,
        http: web.BaseRequest,
        decoder: "msgspec.json.Decoder[Any]",
        answer: Callable[[web.BaseRequest, Any], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        self._requests += 1
        try:
            body = decode(decoder, http.headers.get("Content-Type", ""), await http.read())
            return await answer(http, body)
        finally:
            self._requests -= 1
            self._last_request = time.monotonic()

    def _show_metrics(self) -> web.Response:
        page = self._metrics.render(self.driver.engine.stats())
        return web.Response(body=page, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    def _show_health(self) -> web.Response:
        return web.Response(status=200 if self.healthy else 503)


_COMPLETION = msgspec.json.Decoder(CompletionRequest, strict=False)
_CHAT = msgspec.json.Decoder(ChatCompletionRequest, strict=False)


def _answers(answer: Callable[[], web.Response]) -> Handler:
    async def handler(_: web.BaseRequest) -> web.StreamResponse:
        return answer()

    return handler


def _reads(kind: type[Any], answer: Callable[[Any], Awaitable[web.Response]]) -> Handler:
    decoder = msgspec.json.Decoder(kind, strict=False)

    async def handler(http: web.BaseRequest) -> web.StreamResponse:
        return await answer(decode(decoder, http.headers.get("Content-Type", ""), await http.read()))

    return handler


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type=_JSON)


def _make_request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    return web.BaseRequest(
        message, payload, protocol, writer, task, asyncio.get_running_loop(), client_max_size=_LARGEST_BODY
    )


def _cache_config(options: ServerOptions) -> Mapping[str, str]:
    config = options.engine
    return {
        "block_size": str(config.block_size),
        "cache_dtype": "auto",
        "calculate_kv_scales": "False",
        "enable_prefix_caching": str(config.prefix_caching),
        "gpu_memory_utilization": str(options.gpu_memory_utilization),
        "num_cpu_blocks": "None",
        "num_gpu_blocks": str(config.num_gpu_blocks),
        "prefix_caching_hash_algo": "sha256",
        "sliding_window": "None",
    }
