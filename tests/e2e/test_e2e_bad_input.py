"""Whatever is wrong is said clearly, and nothing is lost by it."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from pathlib import Path

import pytest
from tests.e2e.manifests import GATEWAY, deployment, model, pool, route, together
from tests.e2e.running import EXAMPLE, Load, copy_example, free_port, running_up, save, tethered

pytestmark = pytest.mark.e2e


async def command(*arguments: str, within: float = 30) -> tuple[int, str]:
    """Run ``signalbox ARGUMENTS`` to its end; return its exit status and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *tethered(sys.executable, "-m", "signalbox", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(within):
        output, _ = await process.communicate()
    assert process.returncode is not None
    text = output.decode()
    assert "Traceback" not in text
    return process.returncode, text


async def test_requests_that_cannot_be_served(tmp_path: Path) -> None:
    async with running_up(tmp_path / "state", str(copy_example(tmp_path / "manifests")), "--body-limit", "1") as up:
        cases = [
            (b"no json", 400, "invalid_request_error"),
            (b'{"prompt": "x"}', 400, "invalid_request_error"),
            (b'{"model": 7, "prompt": "x"}', 400, "invalid_request_error"),
            (b'{"model": "", "prompt": "x"}', 400, "invalid_request_error"),
            (b'{"model": "food-review"}', 400, "invalid_request_error"),
            (b'["model"]', 400, "invalid_request_error"),
            (b'{"model": "nobody", "prompt": "x"}', 404, "invalid_request_error"),
            (json.dumps({"model": "food-review", "prompt": "x" * 2**20}).encode(), 413, "invalid_request_error"),
        ]
        for body, status, kind in cases:
            answer = await up.send("POST", "/v1/completions", body)
            assert (answer.status, answer.json["error"]["type"]) == (status, kind), (body[:60], answer)
            assert answer.json["error"]["message"]
            assert answer.headers["content-type"].startswith("application/json")
        assert (await up.ask()).model == "food-review-1"


async def test_a_body_limit_above_the_default_holds_for_envoy_and_picker_alike(tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    (manifests / "all.yaml").write_text(together(deployment(1), pool(), GATEWAY, route("llm")))
    async with running_up(tmp_path / "state", str(manifests), "--body-limit", "40", "--speed", "50") as up:
        for megabytes, status in ((36, 400), (41, 413)):
            # 36 MiB pass the gateway: it is the server that says how long its context is.
            answer = await up.send(
                "POST", "/v1/completions", b'{"model": "base", "prompt": "%s"}' % (b"x" * (megabytes << 20))
            )
            assert answer.status == status, answer.body[:300]
            assert ("context" in answer.json["error"]["message"]) is (status == 400)


async def test_edits_that_are_wrong_leave_the_last_good_state_in_force(tmp_path: Path) -> None:
    manifests = copy_example(tmp_path / "manifests")
    good = {path: path.read_text() for path in manifests.iterdir()}
    model_file = manifests / "02-inferencemodel.yaml"
    pool_file = manifests / "03-inferencepool-resources.yaml"
    route_file = manifests / "05-httproute.yaml"
    deployment_file = manifests / "01-gpu-deployment.yaml"
    edits = [
        (
            model_file,
            "targetModels",
            "targetModelz",
            r"02-inferencemodel.yaml:\d+ document 1 .*targetModelz.*targetModels",
        ),
        (model_file, "weight: 100", "weight: lots", r"02-inferencemodel.yaml:\d+ .*weight.*integer"),
        (model_file, "weight: 100", "weight: 0", r"02-inferencemodel.yaml:\d+ .*weight"),
        (model_file, "Standard", "Urgent", r"02-inferencemodel.yaml:\d+ .*criticality.*Critical.*Standard.*Sheddable"),
        (model_file, "  modelName", " modelName", r"02-inferencemodel.yaml:\d+ .*"),
        (model_file, "v1alpha2", "v1alpha9", r"02-inferencemodel.yaml:\d+ .*v1alpha9.*v1alpha2"),
        (pool_file, "targetPortNumber: 8000", "targetPortNumber: 80000", r"03-.*targetPortNumber.*65535"),
        (route_file, "PathPrefix", "PathPrefixx", r"05-httproute.yaml:\d+ .*PathPrefixx.*PathPrefix"),
        (route_file, "request: 300s", "request: 300", r"05-httproute.yaml:\d+ .*timeouts.request"),
        (deployment_file, "replicas: 1", "replica: 1", r"01-gpu-deployment.yaml:\d+ document 1 .*replica.*replicas"),
    ]
    async with running_up(tmp_path / "state", str(manifests), "--speed", "20") as up, Load(up, clients=4) as load:
        for path, old, new, message in edits:
            assert old in good[path]
            seen = len(up.lines)
            save(path, good[path].replace(old, new))
            await up.printed(message, after=seen)
            await load.more(20)
            seen = len(up.lines)
            save(path, good[path])
            await up.printed(r"solved|mended|again|gone|ok|valid", after=seen)
            await load.more(20)
    assert load.failures == []
    assert set(load.models) == {"food-review-1"}


async def test_the_older_of_two_models_with_one_name_serves_it_and_the_other_is_reported(tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    first = model("chat", "Standard")
    (manifests / "all.yaml").write_text(together(deployment(1), pool(), GATEWAY, route("llm"), first))
    async with running_up(tmp_path / "state", str(manifests), "--speed", "20") as up:
        assert (await up.ask("chat")).model == "base"
        newer = first.replace("{name: chat}", "{name: newer}").replace(
            "{name: base, weight: 1}", "{name: other, weight: 1}"
        )
        save(manifests / "newer.yaml", newer)
        log = tmp_path / "state" / "logs" / "epp-default-llm.log"

        async def reported() -> bool:
            return "InferenceModel default/newer is not used" in log.read_text()

        await up.until(reported)
        assert (await up.ask("chat")).model == "base"


async def test_a_port_in_use_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, output = await command("up", str(EXAMPLE), "--port", str(port), "--state-dir", str(tmp_path / "state"))
    assert status == 1
    assert str(port) in output
    assert "in use" in output
    assert "--port" in output
    assert "starting\n" not in output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["up", "no/such/directory"], ["no/such/directory"]),
        (["up"], ["directory", "--server"]),
        (["up", "--server", "ftp://x"], ["ftp://x", "http://"]),
        (["up", "--server", "https://127.0.0.1:1"], ["https", "not"]),
        (["up", "EMPTY"], ["no", "YAML"]),
        (["up", "--port", "99999"], ["--port", "65535"]),
        (["epp"], ["--source"]),
        (["epp", "--source", "no/such/directory"], ["no/such/directory"]),
        (["epp", "--source", "EMPTY"], ["--pool-name"]),
        (["modelserver"], ["--model"]),
        (["lora-syncer", "--reconcile-trigger", "soon"], ["--reconcile-trigger", "soon"]),
        (["nonsense"], ["nonsense"]),
    ],
)
async def test_commands_that_make_no_sense(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    arguments = [str(empty) if argument == "EMPTY" else argument for argument in arguments]
    if arguments[0] == "up" and "--port" not in arguments:
        arguments += ["--port", str(free_port())]
    status, output = await command(*arguments)
    assert status in (1, 2)
    for word in words:
        assert word in output, output


async def test_thresholds_that_are_no_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "all.yaml").write_text(pool())
    monkeypatch.setenv("KV_CACHE_THRESHOLD", "high")
    status, output = await command("epp", "--source", str(tmp_path))
    assert status == 2
    assert "KV_CACHE_THRESHOLD: 'high' is not a number" in output


async def test_manifests_with_nothing_usable_end_up_with_every_problem_listed(tmp_path: Path) -> None:
    manifests = copy_example(tmp_path / "manifests")
    for path in manifests.iterdir():
        path.write_text(path.read_text().replace("metadata:", "metadatas:"))
    status, output = await command("up", str(manifests), "--port", str(free_port()))
    assert status == 1
    for path in manifests.iterdir():
        assert path.name in output
