"""The bodies this server reads: the fields it uses, everything else ignored as vLLM does."""

import re
from typing import Any, TypeVar

import msgspec

from signalbox.modelserver.errors import bad_request, malformed

_T = TypeVar("_T")


class StreamOptions(msgspec.Struct):
    """What else a stream carries."""

    include_usage: bool = False
    continuous_usage_stats: bool = False


class Sampling(msgspec.Struct, kw_only=True):
    """Fields of both completion APIs."""

    model: str | None = None
    n: int | None = 1
    max_tokens: int | None = None
    min_tokens: int | None = 0
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    ignore_eos: bool | None = False
    temperature: float | None = None
    top_p: float | None = None

    def check(self) -> None:
        """Raise ApiError for values out of range, in vLLM's words."""
        if self.n is not None and self.n < 1:
            raise bad_request(f"n must be at least 1, got {self.n}.", "n")
        if self.limit is not None and self.limit < 1:
            raise bad_request(f"max_tokens must be at least 1, got {self.limit}.", "max_tokens")
        if (self.min_tokens or 0) < 0:
            raise bad_request(f"min_tokens must be greater than or equal to 0, got {self.min_tokens}.", "min_tokens")
        if self.limit is not None and (self.min_tokens or 0) > self.limit:
            raise bad_request(
                f"min_tokens must be less than or equal to max_tokens={self.limit}, got {self.min_tokens}.",
                "min_tokens",
            )
        if self.temperature is not None and self.temperature < 0:
            raise bad_request(f"temperature must be non-negative, got {self.temperature}.", "temperature")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise bad_request(f"top_p must be in (0, 1], got {self.top_p}.", "top_p")
        if self.stream_options is not None and not self.stream:
            raise malformed("Stream options can only be defined when `stream=True`.", "stream_options")

    @property
    def limit(self) -> int | None:
        """Output tokens asked for at most."""
        return self.max_tokens

    @property
    def stops(self) -> list[str]:
        """Stop strings."""
        if self.stop is None:
            return []
        return [self.stop] if isinstance(self.stop, str) else self.stop


class CompletionRequest(Sampling, kw_only=True):
    """POST /v1/completions."""

    prompt: str | list[Any]

    def prompts(self) -> list[str | list[int]]:
        """One entry per prompt: text or token ids. Raises ApiError for anything else."""
        prompt = self.prompt
        if isinstance(prompt, str):
            return [prompt]
        if not prompt:
            raise bad_request("Either prompt or prompt_embeds must be provided and non-empty.", "prompt")
        if all(isinstance(entry, str) for entry in prompt):
            return list(prompt)
        if _are_tokens(prompt):
            return [prompt]
        if all(isinstance(entry, list) and entry and _are_tokens(entry) for entry in prompt):
            return list(prompt)
        raise malformed("prompt must be a string, strings, token ids or lists of token ids.", "prompt")


class Message(msgspec.Struct):
    """One chat message."""

    role: str
    content: str | list[dict[str, Any]] | None = None
    tool_calls: Any = None

    def text(self) -> str:
        """All of it that counts as prompt; media count by their URL or data."""
        content = self.content
        if isinstance(content, list):
            content = "".join(_part_text(part) for part in content)
        calls = "" if not self.tool_calls else msgspec.json.encode(self.tool_calls).decode()
        return (content or "") + calls


class ChatCompletionRequest(Sampling, kw_only=True):
    """POST /v1/chat/completions."""

    messages: list[Message]
    max_completion_tokens: int | None = None
    tools: list[dict[str, Any]] | None = None

    @property
    def limit(self) -> int | None:
        """Output tokens asked for at most."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    def prompt(self) -> str:
        """The conversation in the format of Llama 3's chat template."""
        return chat_prompt(self.messages, self.tools)


class TokenizeRequest(msgspec.Struct):
    """POST /tokenize."""

    model: str | None = None
    prompt: str | None = None
    messages: list[Message] | None = None
    tools: list[dict[str, Any]] | None = None
    add_special_tokens: bool = True
    return_token_strs: bool | None = False

    def text(self) -> str:
        """The prompt or the conversation in the chat template's form. Raises ApiError where there is neither."""
        if self.messages is not None:
            return chat_prompt(self.messages, self.tools)
        if self.prompt is None:
            raise malformed("Object missing required field `prompt`", "prompt")
        return self.prompt


class DetokenizeRequest(msgspec.Struct):
    """POST /detokenize."""

    tokens: list[int]
    model: str | None = None


class LoadAdapterRequest(msgspec.Struct):
    """POST /v1/load_lora_adapter."""

    lora_name: str
    lora_path: str
    load_inplace: bool = False


class UnloadAdapterRequest(msgspec.Struct):
    """POST /v1/unload_lora_adapter."""

    lora_name: str
    lora_int_id: int | None = None


def chat_prompt(messages: list[Message], tools: list[dict[str, Any]] | None) -> str:
    """A conversation as one prompt, open for the assistant's turn."""
    parts = [] if not tools else [f"<|start_header_id|>system<|end_header_id|>{_json(tools)}<|eot_id|>"]
    parts.extend(f"<|start_header_id|>{m.role}<|end_header_id|>{m.text()}<|eot_id|>" for m in messages)
    parts.append("<|start_header_id|>assistant<|end_header_id|>")
    return "".join(parts)


def decode(decoder: msgspec.json.Decoder[_T], content_type: str, body: bytes) -> _T:
    """A body as the struct of its endpoint; raises ApiError in vLLM's shape for anything else."""
    if content_type.split(";", 1)[0].strip().lower() != "application/json":
        raise malformed("Unsupported Media Type: Only 'application/json' is allowed")
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise malformed(str(error), _field_of(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise malformed(f"JSON decode error: {error}") from None


def _field_of(message: str) -> str | None:
    missing = re.search(r"missing required field `([^`]+)`", message)
    if missing:
        return missing.group(1)
    path = re.search(r"at `\$\.([^`]+)`", message)
    return path.group(1) if path else None


def _are_tokens(entries: list[Any]) -> bool:
    return set(map(type, entries)) <= {int} and min(entries, default=0) >= 0  # there may be millions


def _part_text(part: dict[str, Any]) -> str:
    if isinstance(part.get("text"), str):
        return str(part["text"])
    return _json({key: value for key, value in part.items() if key != "type"})


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
