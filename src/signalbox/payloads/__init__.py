"""What a request body asks for and what an answer reports.

`read_request` reads a JSON body lazily (OpenAI completions, chat, embeddings and responses; Anthropic messages;
the native APIs of vLLM and SGLang) and can splice another model name into it; `ResponseReader` picks token usage out
of a JSON or SSE answer as it passes by; `error_body` writes an error as OpenAI's clients read it. Nothing here knows
about networks or time.
"""

from signalbox.payloads.answers import ResponseReader
from signalbox.payloads.errors import PayloadError, error_body
from signalbox.payloads.media import holds_media
from signalbox.payloads.media_hashing import media_items
from signalbox.payloads.requests import Request, read_request
from signalbox.payloads.tokens import Prompt, read_prompt
from signalbox.payloads.usage import Usage

__all__ = [
    "PayloadError",
    "Prompt",
    "Request",
    "ResponseReader",
    "Usage",
    "error_body",
    "holds_media",
    "media_items",
    "read_prompt",
    "read_request",
]
