"""An EndpointPickerConfig in the manifests decides, is reloaded while requests flow, and survives a bad edit."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from tests.e2e.running import ROOT, Load, Up, last_option, running_up, save

pytestmark = pytest.mark.e2e

EXAMPLE = ROOT / "examples" / "scheduling"
MODEL = "meta-llama/Llama-3.1-8B-Instruct"


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

            save(file, good.replace("kv-cache-utilization-scorer", "running-requests-size-scorer"))
            await up.printed(r"all problems are solved", after=seen)
            await up.printed(r"picker +\S+ \S+ takes up its changed configuration", after=seen)
            assert await in_force(up, "running-requests-size-scorer") == 2
            await load.more(50)
        assert load.statuses == {200: load.total}, load.failures[:5]
        assert set(up.processes("epp")) == {picker}, "the same process all the time"


def test_the_readme_shows_what_the_files_hold() -> None:
    story = (EXAMPLE / "README.md").read_text()
    for name in re.findall(r"\]\((\d\d-[^)]*)\)", story):
        assert (EXAMPLE / name).is_file()
    assert "weight: 3" in (EXAMPLE / "03-configuration.yaml").read_text()
