"""Why the picker filter is set up as it is: what this Envoy does when it is set up otherwise.

Should one of these fail after an update of Envoy, the choice it stands for can be made again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from tests.gateway.envoy.conftest import StartGateway, StartServers
from tests.gateway.envoy.documents import gateway, options, pool, route, to
from tests.gateway.envoy.fake_picker import FakePicker
from tests.gateway.envoy.harness import PickerProcess, RealGateway, Server

from signalbox.gateway.envoy import EnvoyConfig, translate
from signalbox.gateway.envoy.pickerfilter import PICKER
from signalbox.resources import FailureMode

pytestmark = pytest.mark.e2e


async def serve_otherwise(site: RealGateway, address: str, server: Server, **changes: Any) -> None:
    """Serve one pool that fails open, but with the picker filter changed."""
    backend = pool("p", server.address, picker=address, failure_mode=FailureMode.FAIL_OPEN)
    settings = options(site.directory, gateway(), port=site.port)
    config: EnvoyConfig = translate([gateway()], [route(to("p"))], [backend], [], settings)
    (listener,) = config.listeners
    filters = listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
    (picker,) = [one["typed_config"] for one in filters if one["name"] == PICKER]
    mode = {**picker["processing_mode"], **changes.pop("processing_mode", {})}
    picker.update(changes, processing_mode=mode)
    version = site.files.write(replace(config, listeners=(listener,)))
    await site.envoy.start()
    await site.envoy.ready(20)
    await site.envoy.applied(version, 20)


async def read_while_the_picker_dies(
    site: RealGateway, server: Server, picker: PickerProcess, behaviour: str
) -> tuple[bytes, bool]:
    """What a client gets of an answer whose picker is killed after the first chunk, and whether it was whole."""
    got = bytearray()
    headers = {"x-pick": server.address, "x-behaviour": behaviour}
    async with site.client.post(site.url("/stream"), data=b"{}", headers=headers) as answer:
        got += await answer.content.readuntil(b"\n\n")
        await picker.kill()
        server.go_on.set()
        with suppress(aiohttp.ClientPayloadError):
            got += await answer.content.read()
            return bytes(got), True
    return bytes(got), False


@pytest.mark.parametrize(
    ("changes", "behaviour"),
    [
        (
            {"processing_mode": {"response_body_mode": "FULL_DUPLEX_STREAMED", "response_trailer_mode": "SEND"}},
            "duplex",
        ),
        ({"failure_mode_allow": False}, ""),
    ],
    ids=["FULL_DUPLEX_STREAMED", "failure_mode_allow=false"],
)
async def test_an_answer_is_cut_off_with_its_picker(
    changes: dict[str, Any],
    behaviour: str,
    start_gateway: StartGateway,
    start_servers: StartServers,
    picker_process: PickerProcess,
) -> None:
    (server,) = await start_servers(1)
    site = await start_gateway()
    await serve_otherwise(site, picker_process.address, server, **changes)
    got, whole = await read_while_the_picker_dies(site, server, picker_process, behaviour)
    assert got.startswith(b"data: first")
    assert not whole
    assert b"[DONE]" not in got


async def test_a_request_whose_picker_says_goodbye_unasked_passes_even_if_failures_do_not(
    start_gateway: StartGateway, start_servers: StartServers, picker: FakePicker
) -> None:
    (server,) = await start_servers(1)
    site = await start_gateway()
    await serve_otherwise(site, f"127.0.0.1:{picker.port}", server, failure_mode_allow=False)
    assert (await site.ask("/v1/x", x_behaviour="close")).status == 200


async def test_a_body_in_full_duplex_cannot_fail_open(
    start_gateway: StartGateway, start_servers: StartServers, picker_process: PickerProcess
) -> None:
    (server,) = await start_servers(1)
    site = await start_gateway()
    duplex = {"request_body_mode": "FULL_DUPLEX_STREAMED", "request_trailer_mode": "SEND"}
    await serve_otherwise(site, picker_process.address, server, processing_mode=duplex)
    await picker_process.kill()
    assert (await site.ask("/v1/x")).status >= 500
