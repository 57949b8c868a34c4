"""An EndpointPickerConfig in the manifests decides, is reloaded while requests flow, and survives a bad edit."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.manifests import GATEWAY, deployment, model, pool, route, together
from tests.e2e.running import ROOT, Load, Up, free_port, last_option, running_up, save, tethered

pytestmark = pytest.mark.e2e

EXAMPLE = ROOT / "examples" / "scheduling"
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
CONFIGURATION = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: queue-scorer
schedulingProfiles:
- name: default
  plugins: [{pluginRef: queue-scorer}]
"""


async def in_force(up: Up, plugin: str) -> int:
    """Wait until the picker's log says that a configuration with this plugin decides; return how many it has named."""
    log = next((up.state / "logs").glob("epp-*.log"))

    async def said() -> bool:
        return any("configuration in force" in line and plugin in line for line in log.read_text().splitlines())

    await up.until(said)
    return sum("configuration in force" in line for line in log.read_text().splitlines())


async def test_a_pools_configuration_is_passed_on_reloaded_and_guarded(tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    shutil.copytree(EXAMPLE, manifests)
    file = manifests / "03-configuration.yaml"
    good = file.read_text()
    async with running_up(tmp_path / "state", str(manifests), "--speed", "50") as up:
        await up.printed(r"picker +vllm-llama3-8b-instruct \S+ starting with an EndpointPickerConfig")
        (picker,) = up.processes("epp")
        passed_on = Path(last_option(up.processes("epp")[picker], "--config-file"))
        assert passed_on.read_text() in good.replace("\n    ", "\n")
        assert await in_force(up, "prefix-cache-scorer") == 1
        prompt = " ".join(map(str, range(400)))
        assert (await up.ask(MODEL, prompt=prompt)).model == MODEL

        async with Load(up, clients=4, model=MODEL) as load:
            await load.more(50)
            bad = good.replace("weight: 3", "weight: minus")
            save(file, bad)
            line = next(n for n, text in enumerate(bad.splitlines(), 1) if "minus" in text)
            seen = await up.printed(
                rf"problem +\S+03-configuration.yaml:{line} document 1 ConfigMap/epp-configuration "
                r"data\[epp\.yaml\]\.schedulingProfiles\[0\]\.plugins\[2\]\.weight: .*number"
            )
            await load.more(50)
            assert not any("takes up" in text for text in up.lines), "a bad edit reaches no picker"
            (refused,) = await refusals(up, "configuration")
            assert f"03-configuration.yaml:{line} document 1 ConfigMap/epp-configuration" in refused

            save(file, good.replace("kv-cache-utilization-scorer", "running-requests-size-scorer"))
            await up.printed(r"all problems are solved", after=seen)
            await up.printed(r"picker +\S+ \S+ takes up its changed configuration", after=seen)
            assert await in_force(up, "running-requests-size-scorer") == 2
            assert (await status(up))["configuration"]["refused"] == []
            await load.more(50)
        assert load.statuses == {200: load.total}, load.failures[:5]
        assert set(up.processes("epp")) == {picker}, "the same process all the time"


async def test_objects_that_up_refuses_are_told_by_the_picker_too(tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    good = together(deployment(1), pool(), GATEWAY, route("llm"))
    (manifests / "all.yaml").write_text(good)
    (manifests / "model.yaml").write_text(model("base", "Critical"))
    (manifests / "epp.yaml").write_text(CONFIGURATION)
    taken = ("--config-file", str(manifests / "epp.yaml"))
    async with running_up(tmp_path / "state", str(manifests), *taken) as up:
        assert (await status(up))["refused"] == []
        assert [each["name"] for each in await scorers(up)] == ["queue-scorer"]
        assert not any("EndpointPickerConfig at" in line for line in up.lines), "it is read after all"
        save(manifests / "model.yaml", model("base", "Critcal"))
        seen = await up.printed(r"problem +\S+model.yaml:\d+ document 1 InferenceModel/base spec.criticality: ")
        (told,) = await refusals(up)
        assert told in up.lines[seen - 1]
        async with up.session.get(f"http://{up.picker_metrics()}/metrics") as response:
            assert 'signalbox_refused_objects{name="llm"} 1.0' in await response.text()
        save(manifests / "model.yaml", model("base", "Critical"))
        await up.printed(r"all problems are solved", after=seen)

        async def quiet() -> bool:
            return not (await status(up))["refused"]

        await up.until(quiet)


async def test_real_servers_may_have_a_configuration_from_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "epp.yaml"
    file.write_text(CONFIGURATION)
    port = free_port()
    server = await asyncio.create_subprocess_exec(
        *tethered(sys.executable, "-m", "signalbox", "modelserver"),
        *("--model", "base", "--host", "127.0.0.1", "--port", str(port)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        arguments = ("--server", f"http://127.0.0.1:{port}", "--config-file", str(file))
        async with running_up(tmp_path / "state", *arguments) as up:
            assert (await up.ask("base")).status == 200
            assert [each["name"] for each in await scorers(up)] == ["queue-scorer"]
            seen = len(up.lines)
            save(file, CONFIGURATION.replace("queue-scorer", "que-scorer"))
            await up.printed(rf"problem +{file}:4 plugins\[0\].type: 'que-scorer' is not a known", after=seen)
            save(file, CONFIGURATION.replace("queue-scorer", "kv-cache-utilization-scorer"))
            await up.printed(r"takes up its changed configuration", after=seen)

            async def taken_up() -> bool:
                return [each["name"] for each in await scorers(up)] == ["kv-cache-utilization-scorer"]

            await up.until(taken_up)
            assert (await up.ask("base")).status == 200
    finally:
        server.kill()
        await server.wait()


async def status(up: Up) -> Any:
    """What the only picker's status page says."""
    async with up.session.get(f"http://{up.picker_metrics()}/debug/pool") as response:
        return json.loads(await response.read())


async def refusals(up: Up, section: str = "") -> Any:
    """Wait until the picker tells something refused, and return that."""
    found: list[str] = []

    async def told() -> bool:
        page = await status(up)
        found[:] = (page[section] if section else page)["refused"]
        return bool(found)

    await up.until(told)
    return found


async def scorers(up: Up) -> Any:
    """The scorers of the profile in force."""
    return (await status(up))["configuration"]["profiles"][0]["scorers"]


def test_the_readme_shows_what_the_files_hold() -> None:
    story = (EXAMPLE / "README.md").read_text()
    for name in re.findall(r"\]\((\d\d-[^)]*)\)", story):
        assert (EXAMPLE / name).is_file()
    assert "weight: 3" in (EXAMPLE / "03-configuration.yaml").read_text()
