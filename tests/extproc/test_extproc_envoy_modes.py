"""A real Envoy and the whole picker, in every pair of body modes, in plaintext and over TLS."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.cli.dialogue import REQUEST_MODES, RESPONSE_MODES
from tests.extproc.envoy_front import Front, Fronts, running_fronts
from tests.extproc.model_servers import events

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

PLAINTEXT = [Front(request, response) for request, response in itertools.product(REQUEST_MODES, RESPONSE_MODES)]
OVER_TLS = [
    Front(request, response, name=f"{picker}-{request}-{response}", picker=picker)
    for picker in ("tls", "certified")
    for request, response in (("BUFFERED", "STREAMED"), ("FULL_DUPLEX_STREAMED", "FULL_DUPLEX_STREAMED"))
]
FRONTS = PLAINTEXT + OVER_TLS


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fronts(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fronts]:
    directory: Path = tmp_path_factory.mktemp("fronts")
    async with running_fronts(directory, FRONTS) as fronts:
        yield fronts


def asking(size: int = 10, **fields: object) -> bytes:
    """A completion request with a prompt of ``size`` characters."""
    return json.dumps({"model": "m", "prompt": "é" * size, **fields}, ensure_ascii=False).encode()


@pytest.mark.parametrize("front", FRONTS, ids=lambda front: front.id)
async def test_requests_reach_the_server_the_picker_named_and_come_back_whole(front: Front, fronts: Fronts) -> None:
    for body in (asking(), asking(100_000), asking(pad=200_000), asking(100_000, pad=200_000)):
        answer = await fronts.ask(front, body=body)
        assert answer.status == 200
        assert answer.routed, answer.headers
        seen = json.loads(answer.body)
        assert (seen["length"], seen["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
        assert len(seen["pad"]) == json.loads(body).get("pad", 0)

    reported = await fronts.output_tokens(front)
    streamed = await fronts.ask(front, body=asking(stream=True))
    assert (streamed.status, streamed.body, streamed.routed) == (200, b"".join(events()), True)

    listed = await fronts.ask(front, "/v1/models")
    assert (listed.status, listed.routed) == (200, True)

    missing = await fronts.ask(front, "/v1/none", body=asking())
    assert (missing.status, json.loads(missing.body)) == (404, {"error": {"message": "no such thing"}})

    await fronts.pickers[front.picker].settled()
    unseen = "NONE" in (front.request, front.response)  # without the request's body the picker does not follow it
    assert await fronts.output_tokens(front) - reported == (0 if unseen else 50)


@pytest.mark.parametrize("front", PLAINTEXT, ids=lambda front: front.id)
async def test_a_request_that_cannot_be_routed_is_refused_by_the_picker(front: Front, fronts: Fronts) -> None:
    answer = await fronts.ask(front, body=b'{"prompt": "whose?"}')
    if front.request == "NONE":
        assert answer.status == 200  # the picker never sees the body
    else:
        assert answer.status == 400
        assert "model" in json.loads(answer.body)["error"]["message"]
    await fronts.pickers[front.picker].settled()
