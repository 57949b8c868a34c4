"""The two completion APIs' answers: one JSON object, or the frames of a stream."""

import time
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from signalbox.modelserver.driver import Choice

_encode = msgspec.json.Encoder().encode
DONE = b"data: [DONE]\n\n"


class AnswerFormat(Protocol):
    """How one API puts an answer."""

    id: str

    def whole(self, choices: Sequence[Choice], usage: dict[str, Any]) -> bytes:
        """The body of an answer that is not streamed."""

    def opening(self, choices: Sequence[Choice]) -> bytes:
        """The frames a stream begins with."""

    def token(self, choice: Choice, position: int, usage: dict[str, Any] | None) -> bytes:
        """The frame of one token; the last token's carries the finish reason."""

    def usage(self, usage: dict[str, Any]) -> bytes:
        """The frame that ends a stream with include_usage."""


def _frame(value: dict[str, Any]) -> bytes:
    return b"data: " + _encode(value) + b"\n\n"


class _Format:
    whole_object = ""
    chunk_object = ""

    def __init__(self, request_id: str, model: str) -> None:
        self.id = request_id
        self._model = model
        self._created = int(time.time())

    def _envelope(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self._created, "model": self._model, "choices": choices}

    def usage(self, usage: dict[str, Any]) -> bytes:
        return _frame({**self._envelope(self.chunk_object, []), "usage": usage})


class CompletionFormat(_Format):
    """POST /v1/completions."""

    whole_object = chunk_object = "text_completion"

    def whole(self, choices: Sequence[Choice], usage: dict[str, Any]) -> bytes:
        """See AnswerFormat."""
        entries = [
            {
                "index": choice.index,
                "text": choice.continuation.text(0, choice.continuation.length),
                "logprobs": None,
                "finish_reason": choice.continuation.finish_reason,
                "stop_reason": choice.continuation.stop_reason,
                "token_ids": None,
                "prompt_logprobs": None,
                "prompt_token_ids": None,
            }
            for choice in choices
        ]
        answer = self._envelope(self.whole_object, entries)
        answer |= {"service_tier": None, "system_fingerprint": None, "usage": usage, "kv_transfer_params": None}
        return _encode(answer)

    def opening(self, choices: Sequence[Choice]) -> bytes:
        """See AnswerFormat."""
        return b""

    def token(self, choice: Choice, position: int, usage: dict[str, Any] | None) -> bytes:
        """See AnswerFormat."""
        answer = choice.continuation
        last = position + 1 == answer.length
        entry = {
            "index": choice.index,
            "text": answer.text(position, position + 1),
            "logprobs": None,
            "finish_reason": answer.finish_reason if last else None,
            "stop_reason": answer.stop_reason if last else None,
        }
        return _frame({**self._envelope(self.chunk_object, [entry]), "usage": usage})


class ChatFormat(_Format):
    """POST /v1/chat/completions."""

    whole_object = "chat.completion"
    chunk_object = "chat.completion.chunk"

    def whole(self, choices: Sequence[Choice], usage: dict[str, Any]) -> bytes:
        """See AnswerFormat."""
        entries: list[dict[str, Any]] = [
            {
                "index": choice.index,
                "message": {
                    "role": "assistant",
                    "content": choice.continuation.text(0, choice.continuation.length),
                    "refusal": None,
                    "annotations": None,
                    "audio": None,
                    "function_call": None,
                    "tool_calls": [],
                    "reasoning": None,
                },
                "logprobs": None,
                "finish_reason": choice.continuation.finish_reason,
                "stop_reason": choice.continuation.stop_reason,
                "token_ids": None,
            }
            for choice in choices
        ]
        answer = self._envelope(self.whole_object, entries)
        answer |= {"service_tier": None, "system_fingerprint": None, "usage": usage}
        answer |= {"prompt_logprobs": None, "prompt_token_ids": None, "kv_transfer_params": None}
        return _encode(answer)

    def opening(self, choices: Sequence[Choice]) -> bytes:
        """See AnswerFormat."""
        return b"".join(
            _frame(
                self._envelope(
                    self.chunk_object,
                    [
                        {
                            "index": choice.index,
                            "delta": {"role": "assistant", "content": ""},
                            "logprobs": None,
                            "finish_reason": None,
                        }
                    ],
                )
            )
            for choice in choices
        )

    def token(self, choice: Choice, position: int, usage: dict[str, Any] | None) -> bytes:
        """See AnswerFormat."""
        answer = choice.continuation
        entry: dict[str, Any] = {
            "index": choice.index,
            "delta": {"content": answer.text(position, position + 1)},
            "logprobs": None,
            "finish_reason": None,
        }
        if position + 1 == answer.length:
            entry["finish_reason"] = answer.finish_reason
            entry["stop_reason"] = answer.stop_reason
        chunk = self._envelope(self.chunk_object, [entry])
        if usage is not None:  # vLLM leaves the key out of ordinary chat chunks
            chunk["usage"] = usage
        return _frame(chunk)
