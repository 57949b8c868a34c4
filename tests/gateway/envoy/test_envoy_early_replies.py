"""What Envoy refuses before any filter sees it is JSON as well: requests it cannot read, or that are too long."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.gateway.envoy.conftest import StartGateway
from tests.gateway.envoy.documents import gateway, path, route, service

pytestmark = pytest.mark.e2e

LONG = "x" * 70_000
MANY = "".join(f"x-{number}: 1\r\n" for number in range(200))
HOST = "HTTP/1.1\r\nhost: a\r\n"

REQUESTS = {
    f"GET / {HOST}x-long: {LONG}\r\n\r\n": (431, "request_headers_too_large", "60 KiB and 100 headers"),
    f"GET / {HOST}{MANY}\r\n": (431, "request_headers_too_large", "60 KiB and 100 headers"),
    f"GET /{LONG} {HOST}\r\n": (431, "request_headers_too_large", "60 KiB and 100 headers"),
    "hello\r\n\r\n": (400, "bad_request", "no valid request (http1.codec_error)"),
    f"GET / {HOST}x y: 1\r\n\r\n": (400, "bad_request", "no valid request (http1.codec_error)"),
    f"POST / {HOST}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n": (
        400, "bad_request", "(http1.content_length_and_chunked_not_allowed)",
    ),
    f"POST / {HOST}transfer-encoding: gzip\r\n\r\n": (501, "bad_request", "(http1.invalid_transfer_encoding)"),
    "GET / HTTP/1.0\r\nhost: a\r\n\r\n": (426, "bad_request", "use HTTP/1.1 or HTTP/2"),
    "GET / HTTP/1.1\r\n\r\n": (400, "bad_request", "has no Host header"),
    f"GET /%00 {HOST}\r\n": (400, "bad_request", "path is not valid"),
}  # fmt: skip


async def told(port: int, request: str) -> tuple[int, str, bytes]:
    """Send what no client library would; return status, content type and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    fields = dict(line.split(": ", 1) for line in head.splitlines()[1:] if line)
    body = await reader.readexactly(int(fields["content-length"]))
    writer.close()
    return int(head.split(" ")[1]), fields.get("content-type", ""), body


async def test_requests_refused_unread_get_an_error_that_clients_understand(start_gateway: StartGateway) -> None:
    site = await start_gateway()
    only = route({"matches": [path("/v1")], "backendRefs": [{"name": "s", "port": 80}]})
    await site.serve([gateway()], [only], services=[service("s", 80, "127.0.0.1:1")])
    for request, (status, code, message) in REQUESTS.items():
        async with asyncio.timeout(20):
            answer = await told(site.port, request)
        assert answer[:2] == (status, "application/json"), (request[:60], answer)
        error = json.loads(answer[2])["error"]
        assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, None)
        assert message in error["message"]
