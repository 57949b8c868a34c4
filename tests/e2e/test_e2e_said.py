"""What the person at the terminal is told when something does not work, and what is left behind when it is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import aiohttp
import pytest
from tests.e2e.manifests import GATEWAY, deployment, pool, route, together
from tests.e2e.running import ROOT, copy_example, descendants, free_port, running_up, save, tethered

pytestmark = pytest.mark.e2e


async def test_adapters_that_cannot_be_what_the_config_map_says_are_told_in_the_terminal(tmp_path: Path) -> None:
    manifests = copy_example(tmp_path / "manifests")
    path = manifests / "01-gpu-deployment.yaml"
    good = path.read_text()
    listed = good.index("          - id: food-review-1")
    async with running_up(tmp_path / "state", str(manifests), "--speed", "20") as up:
        seen = len(up.lines)
        save(path, good.replace("source: Kawon", "sourc: Kawon"))
        await up.printed(
            r"syncer +vllm-\S+ ConfigMap vllm-llama3-8b-instruct-adapters configmap.yaml: "
            r"vLLMLoRAConfig.ensureExist.models\[0\].source: missing",
            after=seen,
        )
        conflict = good + "      ensureNotExist:\n        models:\n" + good[listed:]
        save(path, conflict)
        await up.printed(r"syncer +vllm-\S+ skipped adapters found in both .* food-review-1", after=seen)
        assert (await up.ask()).model == "food-review-1"


async def test_the_flags_of_a_syncer_are_obeyed_and_its_metrics_are_on_the_pods_address(tmp_path: Path) -> None:
    manifests = copy_example(tmp_path / "manifests")
    path = manifests / "01-gpu-deployment.yaml"
    flags = '          command: ["python", "sidecar.py"]\n          args: ["--reconcile-trigger", "7"]\n'
    path.write_text(path.read_text().replace("        - name: lora-adapter-syncer\n", f"        - name: s\n{flags}"))
    async with running_up(tmp_path / "state", str(manifests), "--speed", "20") as up:
        number = await up.printed(r"syncer +vllm-\S+-s metrics at ")
        url = up.lines[number - 1].rpartition(" ")[2]
        (server,) = up.servers()
        assert url.startswith(f"http://{server.rpartition(':')[0]}:")

        async def loaded() -> bool:
            try:
                async with up.session.get(url) as page:
                    return 'lora_syncer_adapter_status{adapter_name="food-review-1"} 1.0' in await page.text()
            except aiohttp.ClientConnectorError:  # said when it is started, a moment before it listens
                return False

        await up.until(loaded)
        (line,) = up.processes("lora-syncer").values()
        assert " --reconcile-trigger 7 " in line


async def test_a_rollout_that_is_stuck_says_which_pod_it_waits_for_and_why(tmp_path: Path) -> None:
    documents = (pool(), GATEWAY, route("llm"))
    path = tmp_path / "all.yaml"
    path.write_text(together(deployment(1), *documents))
    async with running_up(tmp_path / "state", str(path)) as up:
        save(path, together(deployment(1).replace("/health", "/nothere"), *documents))
        await up.printed(
            r"pod +llm-\S+ not ready: readiness probe GET http://\S+/nothere answered 404 "
            r"\(spec.template.spec.containers\[0\].readinessProbe\); "
            r"the rollout waits for it, in service until then: llm-"
        )
        assert (await up.ask("base")).status == 200


async def test_arguments_that_cannot_work_are_a_problem_and_the_pods_stay(tmp_path: Path) -> None:
    documents = (pool(), GATEWAY, route("llm"))
    path = tmp_path / "all.yaml"
    path.write_text(together(deployment(1), *documents))
    async with running_up(tmp_path / "state", str(path)) as up:
        before = up.servers()
        seen = len(up.lines)
        save(path, together(deployment(1, "--max-loras", "x"), *documents))
        await up.printed(
            r"problem .*all.yaml:\d+ document 1 Deployment/llm spec.template.spec.containers\[0\].args: "
            r"--max-loras: 'x' is not a positive whole number; correct --max-loras",
            after=seen,
        )
        await up.printed("the last good state of these objects stays in force", after=seen)
        assert (await up.ask("base")).status == 200
        assert up.servers() == before


async def test_a_server_given_by_url_that_does_not_answer_is_told(tmp_path: Path) -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *tethered(sys.executable, "-m", "signalbox", "up", "--plain", "--port", str(free_port())),
        *("--server", f"http://127.0.0.1:{port}", "--state-dir", str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        async for line in process.stdout:
            if b"not ready" in line:
                break
    process.send_signal(signal.SIGINT)
    await process.communicate()
    assert line.decode().rstrip() == f"server      http://127.0.0.1:{port} not ready: connection refused"


PLAY = """
import asyncio, pathlib, sys
from tests.e2e.running import running_up
async def main():
    async with running_up(pathlib.Path(sys.argv[1]), sys.argv[2]) as up:
        print(up.process.pid, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has died")
async def test_tests_that_are_killed_leave_no_up_behind(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(together(deployment(1), pool(), GATEWAY, route("llm")))
    tests = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PLAY, str(tmp_path / "state"), str(tmp_path / "all.yaml")),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert tests.stdout is not None
    async with asyncio.timeout(60):
        up = int(await tests.stdout.readline())
        family = {up, *descendants(up)}
        assert len(family) >= 4, "up, Envoy, a picker, a server"
        os.kill(tests.pid, signal.SIGKILL)
        await tests.wait()
        while any(_runs(pid) for pid in family):  # noqa: ASYNC110 - the kernel tells nobody but their parent
            await asyncio.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
