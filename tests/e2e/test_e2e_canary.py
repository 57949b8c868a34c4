"""A canary whose adapter is not there yet: weights first, adapter later, no request fails."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.e2e.running import STEPS, Load, copy_example, running_up, save

pytestmark = pytest.mark.e2e


async def test_weights_before_the_adapter_fail_no_request(tmp_path: Path) -> None:
    manifests = copy_example(tmp_path / "manifests")
    async with running_up(tmp_path / "state", str(manifests), "--speed", "50") as up:
        async with Load(up) as load:
            await load.more(200)
            # 90/10 between an adapter that is loaded and one that no server has heard of.
            save(manifests / "02-inferencemodel.yaml", (STEPS / "step-3-inferencemodel.yaml").read_text())
            await load.more(3000)
            assert set(load.models) == {"food-review-1"}
            # The adapter is loaded, server by server, and takes up its share.
            save(manifests / "01-gpu-deployment.yaml", (STEPS / "step-2-adapters.yaml").read_text())

            async def both_are_served() -> bool:
                await load.more(50)
                return "food-review-2" in load.models

            await up.until(both_are_served)
            before = Counter(load.models)
            await load.more(3000)
        since = load.models - before
    assert load.failures == []
    assert since["food-review-2"] / since.total() == pytest.approx(0.1, abs=0.02)


async def test_a_flip_of_everything_before_the_adapter_fails_no_request(tmp_path: Path) -> None:
    manifests = copy_example(tmp_path / "manifests")
    model = manifests / "02-inferencemodel.yaml"
    async with running_up(tmp_path / "state", str(manifests), "--speed", "50") as up, Load(up) as load:
        await load.more(200)
        flipped = model.read_text().replace("name: food-review-1", "name: food-review-2")
        assert flipped != model.read_text()
        save(model, flipped)
        await load.more(2000)
        assert set(load.models) == {"food-review-1"}
        save(manifests / "01-gpu-deployment.yaml", (STEPS / "step-2-adapters.yaml").read_text())

        async def the_new_one_serves() -> bool:
            before = Counter(load.models)
            await load.more(50)
            return set(load.models - before) == {"food-review-2"}

        await up.until(the_new_one_serves)
    assert load.failures == []
