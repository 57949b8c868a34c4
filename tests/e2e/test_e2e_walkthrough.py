"""The get-started walk-through, played on the guide's own files, while clients never stop sending."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from tests.e2e.running import STEPS, Load, copy_example, running_up, save

pytestmark = pytest.mark.e2e

REQUESTS = 20_000


async def test_the_five_steps_without_one_failed_request(tmp_path: Path) -> None:
    manifests = copy_example(tmp_path / "manifests")
    deployment = manifests / "01-gpu-deployment.yaml"
    model = manifests / "02-inferencemodel.yaml"
    async with running_up(tmp_path / "state", str(manifests), "--speed", "50") as up:
        async with Load(up) as load:
            # 1. All traffic answers as food-review-1.
            await load.more(1000)
            assert set(load.models) == {"food-review-1"}
            assert await up.models() == {"meta-llama/Llama-3.1-8B-Instruct", "food-review-1"}

            # 2. The ConfigMap gains food-review-2: the syncer loads it.
            save(deployment, (STEPS / "step-2-adapters.yaml").read_text())
            async with asyncio.timeout(15):
                while "food-review-2" not in await up.models():
                    await load.more(50)
            assert set(load.models) == {"food-review-1"}

        # 3. Weights 90 / 10, counted over exactly 1,000 requests with nobody else sending.
        save(model, (STEPS / "step-3-inferencemodel.yaml").read_text())

        async def second_is_served() -> bool:
            return (await up.ask()).model == "food-review-2"

        await up.until(second_is_served)
        answers = await asyncio.gather(*[up.ask() for _ in range(1000)])
        shares = Counter(answer.model for answer in answers)
        assert shares.keys() == {"food-review-1", "food-review-2"}
        assert abs(shares["food-review-1"] - 900) <= 10, shares

        async with Load(up) as later:
            await later.more(1000)
            # 4. All traffic to food-review-2; then food-review-1 is unloaded everywhere.
            save(model, (STEPS / "step-4-inferencemodel.yaml").read_text())
            save(deployment, (STEPS / "step-4-adapters.yaml").read_text())
            async with asyncio.timeout(15):
                while "food-review-1" in await up.models():
                    await later.more(50)
            mark = Counter(later.models)
            await later.reached(REQUESTS - load.total)
            assert set(later.models - mark) == {"food-review-2"}

        # 5. A model nobody declared.
        answer = await up.ask("nobody")
        assert answer.status == 404
        assert answer.headers["content-type"].startswith("application/json")
        error = answer.json["error"]
        assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", "model", "model_not_found")
        assert "nobody" in error["message"]
        assert "food-review" in error["message"]

    assert (load.failures, later.failures) == ([], [])
    assert load.total + later.total >= REQUESTS
