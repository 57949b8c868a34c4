"""From a checked request to its answer: tokenize, submit to the engine, write what comes."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import xxhash
from aiohttp import web

from signalbox.engine import Request, RequestTooLarge, UnknownAdapter, chain_hashes
from signalbox.modelserver.answers import DONE, AnswerFormat, ChatFormat, CompletionFormat
from signalbox.modelserver.continuation import Continuation, continuation
from signalbox.modelserver.driver import EngineDriver, Job
from signalbox.modelserver.errors import bad_request, not_found
from signalbox.modelserver.faults import FaultInjector
from signalbox.modelserver.models import ServedModels
from signalbox.modelserver.options import ServerOptions
from signalbox.modelserver.protocol import ChatCompletionRequest, CompletionRequest, Sampling
from signalbox.modelserver.tokenizer import Tokenizer

_COMPLETION_MAX_TOKENS = 16  # OpenAI's default for /v1/completions


class Generation:
    """Answers completion requests."""

    def __init__(
        self,
        options: ServerOptions,
        driver: EngineDriver,
        models: ServedModels,
        tokenizer: Tokenizer,
        faults: FaultInjector,
    ) -> None:
        self._options = options
        self._driver = driver
        self._models = models
        self._tokenizer = tokenizer
        self._faults = faults

    async def complete(self, http: web.BaseRequest, body: CompletionRequest) -> web.StreamResponse:
        """POST /v1/completions."""
        body.check()
        model, adapter = self._models.resolve(body.model)
        encode = self._tokenizer.encode_in_turns
        prompts = [await encode(prompt) if isinstance(prompt, str) else prompt for prompt in body.prompts()]
        limit = _COMPLETION_MAX_TOKENS if body.max_tokens is None else body.max_tokens
        answer = CompletionFormat(_request_id("cmpl-", http), model)
        return await self._answer(http, body, prompts, adapter, limit, answer)

    async def chat(self, http: web.BaseRequest, body: ChatCompletionRequest) -> web.StreamResponse:
        """POST /v1/chat/completions."""
        body.check()
        model, adapter = self._models.resolve(body.model)
        prompt = await self._tokenizer.encode_in_turns(body.prompt())
        limit = body.limit if body.limit is not None else self._options.engine.max_model_len - len(prompt)
        answer = ChatFormat(_request_id("chatcmpl-", http), model)
        return await self._answer(http, body, [prompt], adapter, limit, answer)

    async def _answer(
        self,
        http: web.BaseRequest,
        body: Sampling,
        prompts: Sequence[list[int]],
        adapter: str | None,
        limit: int,
        answer: AnswerFormat,
    ) -> web.StreamResponse:
        self._check_context(prompts, limit)
        await self._faults.before_answer()
        job = Job(limit)
        try:
            self._submit(job, body, prompts, adapter, limit, answer.id)
            if body.stream:
                return await self._stream(http, body, job, answer)
            while job.pending:
                await job.changed()
            return web.Response(body=answer.whole(job.choices, self._usage(job)), content_type="application/json")
        finally:
            if job.pending:  # the client has gone, or a choice was refused
                self._driver.abort(job)

    def _check_context(self, prompts: Sequence[list[int]], limit: int) -> None:
        longest = self._options.engine.max_model_len
        for prompt in prompts:
            total = len(prompt) + max(limit, 0)
            if total > longest or limit < 1:
                raise bad_request(
                    f"This model's maximum context length is {longest} tokens. However, you requested {max(limit, 0)} "
                    f"output tokens and your prompt contains {len(prompt)} input tokens, for a total of {total} "
                    "tokens. Please reduce the length of the input prompt or the number of requested output tokens.",
                    "input_tokens",
                )

    def _submit(
        self, job: Job, body: Sampling, prompts: Sequence[list[int]], adapter: str | None, limit: int, request_id: str
    ) -> None:
        options = self._options
        size = options.engine.block_size
        root = 0 if adapter is None else xxhash.xxh64_intdigest(adapter.encode())
        seed = options.seed if body.seed is None else body.seed ^ (options.seed << 1)
        for prompt in prompts:
            hashes = chain_hashes(prompt, size, root) if options.engine.prefix_caching else []
            tail = prompt[len(hashes) * size :]
            for n in range(body.n or 1):
                key = repr((hashes[-1] if hashes else root, tail, n)).encode()
                text = continuation(
                    key,
                    seed,
                    limit,
                    minimum=body.min_tokens or 0,
                    ignore_eos=bool(body.ignore_eos),
                    stop=body.stops,
                )
                request = Request(
                    id=f"{request_id}-{len(job.choices)}-{uuid4().hex}",  # clients may repeat their own ids
                    prompt_tokens=len(prompt),
                    output_tokens=text.length,
                    block_hashes=hashes,
                    adapter=adapter,
                    tokens_between=_tokens_between(prompt, text),
                    root=root,
                )
                try:
                    self._driver.submit(job, text, request)
                except RequestTooLarge as error:
                    raise bad_request(str(error), "input_tokens") from None
                except UnknownAdapter:  # unloaded since its name was looked up
                    raise not_found(f"The model `{adapter}` does not exist.", "model") from None

    async def _stream(
        self, http: web.BaseRequest, body: Sampling, job: Job, answer: AnswerFormat
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        if self._options.request_id_headers:
            response.headers["X-Request-Id"] = http.headers.get("X-Request-Id", answer.id)
        response.enable_chunked_encoding()
        options = body.stream_options
        continuous = options is not None and options.continuous_usage_stats
        reset_after = self._faults.faults.reset_after_tokens
        await response.prepare(http)
        opening = answer.opening(job.choices)
        if opening:
            await response.write(opening)
        self._driver.watch(job)
        sent = 0
        while True:
            done = not job.pending
            frames: list[bytes] = []
            for choice in job.choices:
                for position in range(choice.sent, self._driver.engine.generated(choice.state)):
                    choice.sent = position + 1
                    frames.append(answer.token(choice, position, self._usage(job) if continuous else None))
                    sent += 1
                    if reset_after is not None and sent >= reset_after:
                        done = True
                        break
            if frames:
                await response.write(b"".join(frames))
            if reset_after is not None and sent >= reset_after and http.transport is not None:
                http.transport.abort()
                return response
            if done:
                break
            await job.changed()
        ending = DONE if options is None or not options.include_usage else answer.usage(self._usage(job)) + DONE
        await response.write_eof(ending)
        return response

    def _usage(self, job: Job) -> dict[str, Any]:
        """Tokens so far. A prompt counts once however many answers it gets."""
        prompt = completion = cached = 0
        seen: set[int] = set()
        for choice in job.choices:
            completion += self._driver.engine.generated(choice.state)
            request = choice.state.request
            if id(request.block_hashes) not in seen:
                seen.add(id(request.block_hashes))
                prompt += request.prompt_tokens
                cached += choice.state.cached_tokens or 0
        details = {"cached_tokens": cached} if self._options.prompt_tokens_details else None
        return {
            "prompt_tokens": prompt,
            "total_tokens": prompt + completion,
            "completion_tokens": completion,
            "prompt_tokens_details": details,
        }


def _tokens_between(prompt: Sequence[int], answer: Continuation) -> Callable[[int, int], Sequence[int]]:
    def tokens(start: int, stop: int) -> Sequence[int]:
        length = len(prompt)
        if start >= length:
            return answer.tokens(start - length, stop - length)
        if stop <= length:
            return prompt[start:stop]
        return [*prompt[start:], *answer.tokens(0, stop - length)]

    return tokens


def _request_id(prefix: str, http: web.BaseRequest) -> str:
    return prefix + (http.headers.get("X-Request-Id") or uuid4().hex)
