"""What a request body asks for."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Raw

from signalbox.native import mypyc_attr
from signalbox.payloads import prompts
from signalbox.payloads.errors import PayloadError
from signalbox.payloads.members import Fields, Walked, read_fields, read_members, spans

_API_BY_LAST_SEGMENT: Final = {
    "completions": "completions",
    "embeddings": "embeddings",
    "responses": "responses",
    "messages": "messages",
    "generate": "generate",
}

_API_BY_PATH: Final = {
    "/v1/chat/completions": "chat",
    **{f"/v1/{name}": api for name, api in _API_BY_LAST_SEGMENT.items()},
}
"""What nearly all requests are sent to."""

_NAME: Final = msgspec.json.Decoder(str)
_LIMITS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_BRACKET: Final = ord("[")
_BRACE: Final = ord("{")
_QUOTE: Final = ord('"')
_MODEL: Final = b'"model"'
_ESCAPED: Final = b"\\u006"
"""How each letter of ``model`` begins when it is written as an escape."""
_EMPTY_LIST: Final = re.compile(rb"\[\s*\]")


@mypyc_attr(allow_interpreted_subclasses=True)
class Request:
    """The fields of a body that routing needs, and the body itself. Not to be changed."""

    __slots__ = ("api", "body", "fields", "max_tokens", "model", "stream")

    def __init__(
        self,
        api: str,
        model: str,
        stream: bool,
        max_tokens: int | None,
        body: bytes,
        fields: Fields,
    ) -> None:
        self.api = api
        """``completions``, ``chat``, ``embeddings``, ``responses``, ``messages`` (Anthropic), ``generate`` or
        ``other``."""
        self.model = model
        self.stream = stream
        self.max_tokens = max_tokens
        """The most tokens the client wants back; ``None`` when it does not say."""
        self.body = body
        self.fields = fields
        """The top-level members of ``body``, undecoded: a place to read further fields from. Empty for a body that
        could not be read and is routed all the same."""

    @property
    def prompt_chars(self) -> int:
        """Size of the prompt text in UTF-8 bytes, for token estimates: see `signalbox.payloads.prompts`; of the whole
        body where it could not be read. Walks through the prompt each time: whoever reads that anyway has its tokens.
        """
        fields = self.fields
        return _prompt_size(self.api, fields) if fields else len(self.body)

    def with_model(self, name: str) -> bytes:
        """Return the body with ``name`` as the value of every top-level ``model``; no other byte changes."""
        quoted = _quoted(name)
        found = self._only_model()
        if found is not None:
            start, end = found
            return self.body[:start] + quoted + self.body[end:]
        members = self.fields.members if isinstance(self.fields, Walked) else read_members(self.body)
        body = memoryview(self.body)
        pieces: list[bytes | memoryview] = []
        copied = 0
        left = [key.name for key in members].count("model")
        for start, end in spans(self.body, members, "model"):
            pieces += (body[copied:start], quoted)
            copied = end
            left -= 1
            if not left:
                break  # what follows, such as a long prompt, need not be walked
        pieces.append(body[copied:])
        return b"".join(pieces)

    def _only_model(self) -> tuple[int, int] | None:
        """Return the byte span of the value of ``model`` where it takes no walk through the body to tell.

        There is a top-level member of that name. So if the name stands in quotes once in the body, as whatever, and is
        nowhere spelt with escapes, this is it.
        """
        if isinstance(self.fields, Walked):
            return None
        body = self.body
        behind = body.find(_MODEL) + len(_MODEL)
        if body.find(_MODEL, behind) >= 0 or (body.find(b"\\") >= 0 and body.find(_ESCAPED) >= 0):
            return None
        start = body.find(b'"', behind)  # it is text, so nothing but white space and a colon comes before
        return start, start + len(self.fields["model"])


@lru_cache(maxsize=1024)
def _quoted(name: str) -> bytes:
    """Return a model's name as JSON text; there are few of them."""
    return msgspec.json.encode(name)


def api_of(path: str) -> str:
    """Return which API a request path belongs to, by its ending; a query string does not count."""
    known = _API_BY_PATH.get(path)
    if known is not None:
        return known
    head, _, last = path.partition("?")[0].rstrip("/").rpartition("/")
    if last == "completions" and head.endswith("/chat"):
        return "chat"
    return _API_BY_LAST_SEGMENT.get(last, "other")


def read_request(path: str, body: bytes) -> Request:
    """Read what routing needs from a JSON body sent to ``path``.

    Of repeated fields the last one counts, as in Python's ``json``. Raises `PayloadError` (400) when the body is not
    a JSON object, when ``model`` is missing, not a string or empty, or when the API's prompt field is missing.
    Strings that routing does not read are not checked for valid UTF-8: the model server does that.
    """
    fields = read_fields(body)
    api = _API_BY_PATH.get(path) or api_of(path)
    model = _model(body, fields)
    _require_prompt(api, fields)
    stream = fields.get("stream")
    streamed = stream is not None and bytes(stream) == b"true"
    return Request(api, model, streamed, _max_tokens(api, fields), body, fields)


def _model(body: bytes, fields: Fields) -> str:
    raw = fields.get("model")
    text = b"null" if raw is None else bytes(raw)
    if text[0] != _QUOTE:
        if text != b"null":
            raise PayloadError(400, "the field 'model' must be a string", "model")
        raise PayloadError(400, "the request body has no model: set the field 'model' to a model's name", "model")
    if isinstance(fields, Walked) and text.find(b"\\") >= 0:
        # The members may come from a copy of the body without surrogates: read the name where the client wrote it.
        *_, (start, end) = spans(body, fields.members, "model")
        text = body[start:end]
    try:
        name = _NAME.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise PayloadError(400, "the field 'model' is not valid Unicode text", "model") from None
    if not name:
        raise PayloadError(400, "the field 'model' must not be empty", "model")
    return name


def _require_prompt(api: str, fields: Fields) -> None:
    if api == "completions":
        if not (_given(fields, "prompt") or _given(fields, "prompt_embeds")):
            raise PayloadError(400, "a completion request needs the field 'prompt'", "prompt")
    elif api in {"chat", "messages"}:
        if not _given(fields, "messages"):
            raise PayloadError(400, "the request needs the field 'messages'", "messages")
        messages = memoryview(fields["messages"])
        if messages[0] != _BRACKET:
            raise PayloadError(400, "the field 'messages' must be a list", "messages")
        if messages[1] != _BRACE and _EMPTY_LIST.match(messages):
            raise PayloadError(400, "the field 'messages' must hold at least one message", "messages")
    elif api == "embeddings":
        # vLLM also embeds a conversation given as messages.
        if not (_given(fields, "input") or _given(fields, "messages")):
            raise PayloadError(400, "an embeddings request needs the field 'input'", "input")
    elif api == "responses" and not _given(fields, "input"):
        raise PayloadError(400, "a responses request needs the field 'input'", "input")


def _given(fields: Fields, name: str) -> bool:
    value = fields.get(name)
    return value is not None and not (len(value) == 4 and bytes(value) == b"null")


def _max_tokens(api: str, fields: Fields) -> int | None:
    for name in _LIMITS:
        value = fields.get(name)
        if value is not None and (limit := _count(value)) is not None:
            return limit
    if api == "generate" and "sampling_params" in fields:
        # vLLM's and SGLang's native forms keep the limit among the sampling parameters.
        try:
            sampling = msgspec.json.decode(fields["sampling_params"], type=dict[str, Raw])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        for name in ("max_tokens", "max_new_tokens"):
            if name in sampling:
                return _count(sampling[name])
    return None


def _count(value: Raw) -> int | None:
    """A count of tokens; values no server would take (negative, fractional, absurdly long) are no limit."""
    text = bytes(value)
    return int(text) if len(text) <= 12 and text.isdigit() else None


def _prompt_size(api: str, fields: Fields) -> int:
    get = fields.get
    if api == "completions":
        return prompts.text_size(get("prompt"))
    if api in {"chat", "messages"}:
        tools = get("tools")
        size = prompts.conversation_size(get("messages")) + (len(tools) if tools is not None else 0)
        return size + prompts.conversation_size(get("system"))
    if api == "responses":
        tools = get("tools")
        size = prompts.conversation_size(get("input")) + (len(tools) if tools is not None else 0)
        return size + prompts.text_size(get("instructions"))
    if api == "embeddings":
        return prompts.text_size(get("input")) + prompts.conversation_size(get("messages"))
    names = ("prompt", "text", "input_ids", "token_ids", "prompt_token_ids", "input")
    return sum(prompts.text_size(get(name)) for name in names) + prompts.conversation_size(get("messages"))
