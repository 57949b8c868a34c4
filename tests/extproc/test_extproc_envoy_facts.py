"""What a real Envoy does at the edges of each mode: bodies over its buffer, trailers, skipped phases, a broken link.

docs/epp.md tells these facts to whoever sets up a gateway. Should one of these tests fail after an update of Envoy,
that page has to change with it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from tests.cli.dialogue import REQUEST_MODES, RESPONSE_MODES
from tests.extproc.envoy_front import Front, Fronts, refusal, running_fronts
from tests.extproc.model_servers import events

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

DUPLEX = "FULL_DUPLEX_STREAMED"
REQUEST = {mode: Front(mode, "STREAMED") for mode in REQUEST_MODES}
RESPONSE = {mode: Front("BUFFERED", mode, name=f"response-{mode}") for mode in RESPONSE_MODES}
TRAILERS = {
    mode: Front(mode, "STREAMED", name=f"{mode}-with-trailers", modes={"request_trailer_mode": "SEND"})
    for mode in REQUEST_MODES
}
ANSWER_TRAILERS = {
    (mode, trailers): Front("BUFFERED", mode, name=f"{mode}-{trailers}", modes={"response_trailer_mode": trailers})
    for mode in RESPONSE_MODES
    for trailers in ("SEND", "SKIP")
    if (mode, trailers) != (DUPLEX, "SKIP")  # Envoy does not accept that
}
HEADLESS = {
    mode: Front(mode, "STREAMED", name=f"{mode}-headless", modes={"request_header_mode": "SKIP"})
    for mode in ("BUFFERED", DUPLEX)
}
NO_ANSWER_HEADERS = {
    mode: Front("BUFFERED", mode, name=f"{mode}-no-answer-headers", modes={"response_header_mode": "SKIP"})
    for mode in RESPONSE_MODES
}
NO_OVERRIDE = Front("STREAMED", "STREAMED", name="no-override", mode_override=False)
BROKEN = [
    Front("BUFFERED", "STREAMED", name=name, picker=name)
    for name in ("tls-asked-in-plaintext", "plaintext-asked-over-tls", "certified-asked-without-certificate")
]
LEAVING = Front("BUFFERED", "STREAMED", name="leaving", picker="leaving")
SMALL = {
    mode: Front(mode, "STREAMED", name=f"{mode}-small", picker="small", buffer_limit=64 << 20)
    for mode in REQUEST_MODES
    if mode != "NONE"
}
FRONTS = [
    *SMALL.values(),
    *(front for many in (REQUEST, RESPONSE, TRAILERS, HEADLESS, NO_ANSWER_HEADERS) for front in many.values()),
    *ANSWER_TRAILERS.values(),
    *BROKEN,
    NO_OVERRIDE,
    LEAVING,
]
BODY = b'{"model": "m", "prompt": "x"}'
BIG = json.dumps({"model": "m", "prompt": "x" * 8_000_000}).encode()
"""Eight times what Envoy's listeners buffer here; it takes in up to about two buffers before it stops reading."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fronts(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fronts]:
    directory: Path = tmp_path_factory.mktemp("fronts")
    async with running_fronts(directory, FRONTS) as fronts:
        yield fronts


@pytest.fixture(autouse=True)
def nothing_is_paused(fronts: Fronts) -> None:
    """Let ``/v1/paused`` wait again."""
    fronts.servers.go_on.clear()
    fronts.servers.paused.clear()


# ---- bodies over Envoy's buffer


async def test_a_buffered_request_over_envoys_buffer_is_refused_by_envoy(fronts: Fronts) -> None:
    answer = await fronts.ask(REQUEST["BUFFERED"], body=BIG)
    assert (answer.status, answer.body) == (413, b"Payload Too Large")


@pytest.mark.parametrize("mode", ["BUFFERED_PARTIAL", "STREAMED"])
async def test_a_request_that_envoy_shows_only_in_part_is_refused_by_the_picker(mode: str, fronts: Fronts) -> None:
    answer = await fronts.ask(REQUEST[mode], body=BIG)
    assert answer.status == 413
    assert "raise per_connection_buffer_limit_bytes" in json.loads(answer.body)["error"]["message"]
    await fronts.pickers["plaintext"].settled()


async def test_a_full_duplex_request_may_be_larger_than_envoys_buffer(fronts: Fronts) -> None:
    answer = await fronts.ask(REQUEST[DUPLEX], body=BIG)
    assert (answer.status, answer.routed, json.loads(answer.body)["length"]) == (200, True, len(BIG))


@pytest.mark.parametrize("front", SMALL.values(), ids=lambda front: front.id)
async def test_a_body_over_the_pickers_limit_is_413_whatever_its_size(front: Front, fronts: Fronts) -> None:
    async def unannounced() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield bytes(1_000_000)

    answer = await fronts.ask(front, body=unannounced())
    assert answer.status == 413
    assert b"larger than the 1048576 bytes" in answer.body
    await fronts.pickers["small"].settled()


@pytest.mark.parametrize("mode", RESPONSE_MODES)
async def test_only_a_buffered_answer_must_fit_envoys_buffer(mode: str, fronts: Fronts) -> None:
    answer = await fronts.ask(RESPONSE[mode], body=b'{"model": "m", "prompt": "x", "pad": 8000000}')
    assert answer.status == (500 if mode == "BUFFERED" else 200)
    assert len(answer.body) > 8_000_000 or mode == "BUFFERED"
    await fronts.pickers["plaintext"].settled()


async def test_without_mode_override_a_streamed_body_that_comes_in_pieces_is_refused(fronts: Fronts) -> None:
    seen = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield BODY[:10]
        await asyncio.wait_for(seen.wait(), 10)  # the rest only once the first piece was refused
        yield BODY[10:]

    async with fronts.client.post(fronts.url(NO_OVERRIDE, "/v1/completions"), data=pieces()) as answer:
        assert answer.status == 413
        assert "allow_mode_override" in (await answer.json())["error"]["message"]
        seen.set()


@pytest.mark.parametrize("front", [REQUEST["BUFFERED_PARTIAL"], REQUEST["STREAMED"], NO_OVERRIDE], ids=lambda f: f.id)
async def test_whole_json_at_the_beginning_of_a_longer_body_is_not_taken_for_all_of_it(
    front: Front, fronts: Fronts
) -> None:
    seen = asyncio.Event()

    async def padded() -> AsyncIterator[bytes]:
        yield BODY + b" " * (2 << 20)
        await asyncio.wait_for(seen.wait(), 10)
        yield b'{"model": "unseen"}'

    async with fronts.client.post(fronts.url(front, "/v1/completions"), data=padded()) as answer:
        assert answer.status == 413
        seen.set()
    await fronts.pickers["plaintext"].settled()


# ---- trailers


def chunked(body: bytes) -> bytes:
    """A request with a body and a trailer."""
    head = b"POST /v1/completions HTTP/1.1\r\nhost: llm\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\nx-signature: 1\r\n\r\n"


WITH_TRAILERS = [*REQUEST.values(), *TRAILERS.values()]
IN_PART = ("BUFFERED_PARTIAL", "STREAMED")


@pytest.mark.parametrize("front", [f for f in WITH_TRAILERS if f.request in IN_PART], ids=lambda front: front.id)
async def test_trailers_look_like_a_body_cut_short_where_envoy_may_cut_it(front: Front, fronts: Fronts) -> None:
    answer = await fronts.send(front, chunked(BODY))
    assert answer.startswith(b"HTTP/1.1 413 "), answer
    await fronts.pickers["plaintext"].settled()


@pytest.mark.parametrize("front", [f for f in WITH_TRAILERS if f.request not in IN_PART], ids=lambda front: front.id)
async def test_a_request_with_trailers_is_routed_like_any_other(front: Front, fronts: Fronts) -> None:
    answer = await fronts.send(front, chunked(BODY))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer
    head = answer.partition(b"\r\n\r\n")[0].decode()
    headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
    assert headers["x-picked"].split(",")[0] == headers["x-server"]
    await fronts.pickers["plaintext"].settled()


@pytest.mark.parametrize("mode", REQUEST_MODES)
async def test_trailers_after_no_body_at_all_are_refused(mode: str, fronts: Fronts) -> None:
    answer = await fronts.send(TRAILERS[mode], chunked(b""))
    assert answer.startswith(b"HTTP/1.1 200" if mode == "NONE" else b"HTTP/1.1 400"), answer


@pytest.mark.parametrize("front", ANSWER_TRAILERS.values(), ids=lambda front: front.id)
async def test_an_answer_with_trailers_comes_through_and_ends_the_exchange(front: Front, fronts: Fronts) -> None:
    request = b"POST /trailers HTTP/1.1\r\nhost: llm\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
    answer = await fronts.send(front, request % (len(BODY), BODY))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer
    assert b"{}" in answer
    assert b"x-checksum: 7" in answer
    await fronts.pickers["plaintext"].settled()


async def test_full_duplex_bodies_need_trailers(tmp_path: Path) -> None:
    for side, front in (("request", Front(DUPLEX, "STREAMED")), ("response", Front("BUFFERED", DUPLEX))):
        trailers = f"{side}_trailer_mode"
        assert await asyncio.to_thread(refusal, tmp_path, front) == ""
        without = replace(front, modes={trailers: "SKIP"})
        assert f"the {trailers} has to be set to SEND" in await asyncio.to_thread(refusal, tmp_path, without)


# ---- skipped phases


@pytest.mark.parametrize("mode", HEADLESS)
async def test_without_request_headers_nothing_can_be_routed_and_the_picker_says_so(mode: str, fronts: Fronts) -> None:
    answer = await fronts.ask(HEADLESS[mode], body=BODY)
    assert answer.status == 500
    assert "set request_header_mode SEND" in json.loads(answer.body)["error"]["message"]


@pytest.mark.parametrize("mode", RESPONSE_MODES)
async def test_response_headers_may_be_skipped(mode: str, fronts: Fronts) -> None:
    for body in (BODY, BODY[:-1] + b', "stream": true}'):
        answer = await fronts.ask(NO_ANSWER_HEADERS[mode], body=body)
        assert (answer.status, answer.routed) == (200, True)
        await fronts.pickers["plaintext"].settled()


@pytest.mark.parametrize("front", [*RESPONSE.values(), *NO_ANSWER_HEADERS.values()], ids=lambda front: front.id)
async def test_a_request_counts_until_its_answer_ends_however_little_of_it_is_shown(
    front: Front, fronts: Fronts
) -> None:
    picker = fronts.pickers["plaintext"]
    body = b'{"model": "m", "prompt": "x", "stream": true}'
    asked = asyncio.create_task(fronts.ask(front, "/v1/paused", body))
    await fronts.servers.paused.wait()
    assert picker.in_flight == 1
    fronts.servers.go_on.set()
    assert (await asked).body == b"".join(events())
    await picker.settled()


@pytest.mark.parametrize("mode", [mode for mode in RESPONSE_MODES if mode != "BUFFERED"])
async def test_a_client_that_leaves_ends_its_request_however_little_is_shown(mode: str, fronts: Fronts) -> None:
    picker = fronts.pickers["plaintext"]
    body = b'{"model": "m", "prompt": "x", "stream": true}'
    async with fronts.client.post(fronts.url(RESPONSE[mode], "/v1/paused"), data=body) as answer:
        await answer.content.readuntil(b"\n\n")
        assert picker.in_flight == 1
    await picker.settled()
    fronts.servers.go_on.set()


# ---- the link to the picker


@pytest.mark.parametrize("front", BROKEN, ids=lambda front: front.id)
async def test_a_picker_that_cannot_be_asked_is_a_500(front: Front, fronts: Fronts) -> None:
    assert (await fronts.ask(front, body=BODY)).status == 500


async def test_a_picker_that_leaves_sees_its_answers_to_their_end(fronts: Fronts) -> None:
    picker = fronts.pickers["leaving"]
    body = b'{"model": "m", "prompt": "x", "stream": true}'
    async with fronts.client.post(fronts.url(LEAVING, "/v1/paused"), data=body) as answer:
        first = await answer.content.readuntil(b"\n\n")
        picker.stop.ask()
        async with asyncio.timeout(10):
            while (await fronts.ask(LEAVING, body=BODY)).status != 500:
                pass  # until Envoy knows that this picker takes nothing new
        assert picker.in_flight == 1
        fronts.servers.go_on.set()
        assert first + await answer.read() == b"".join(events())
    await asyncio.wait_for(picker.task, 10)
    assert picker.in_flight == 0
