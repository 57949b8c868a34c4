"""``signalbox status``: endpoints, what keeps pods from being one, models, configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from tests.cli.pickers import picker_process, write_source
from tests.cli.test_cli_explain import CONFIG, asked, signalbox
from tests.conftest import parsed

from signalbox.cli.pool_page import MOST_LEFT_OUT, configuration_page, faults_of, pool_page
from signalbox.cli.status import show
from signalbox.director import guide_rules, policy_rules
from signalbox.observability.refusals import Refusals
from signalbox.pool import Pool
from signalbox.scheduling import load_policy

MODEL = "inference.networking.x-k8s.io/v1alpha2"


def model(name: str, model_name: str) -> dict[str, Any]:
    return {
        "apiVersion": MODEL,
        "kind": "InferenceModel",
        "metadata": {"name": name},
        "spec": {
            "modelName": model_name,
            "criticality": "Critical",
            "poolRef": {"name": "pool"},
            "targetModels": [{"name": f"{name}-v1", "weight": 90}, {"name": f"{name}-v2", "weight": 10}],
        },
    }


def pod(name: str, ready: str, labels: dict[str, str]) -> dict[str, Any]:
    status = {"podIP": "127.0.0.9", "conditions": [{"type": "Ready", "status": ready, "reason": "Loading"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "status": status}


def test_plugins_that_stand_in_no_profile_are_named_with_their_roles(
    build_pool: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nfeatureGates: [flowControl]\n"
        "plugins: [{type: queue-scorer}, {type: probabilistic-admitter}, {type: latency-slo-admitter}]\n"
        "flowControl: {defaultPriorityBand: {fairnessPolicyRef: round-robin-fairness-policy}}\n"
    )
    pool = build_pool((0, 0, set()))
    configuration = configuration_page(policy_rules(load_policy(text, name="test"), pool), "") | {"refused": []}
    show(pool_page(pool, 0.0) | {"configuration": configuration, "refused": [], "decisions": None}, "http://here")
    said = capsys.readouterr().out
    assert "admitter probabilistic-admitter, latency-slo-admitter; producer predicted-latency-producer;" in said
    assert "; fairness policy round-robin-fairness-policy; ordering policy fcfs-ordering-policy;" in said
    assert "queue-scorer" not in next(line for line in said.splitlines() if "admitter" in line)


def test_a_model_whose_sessions_stay_says_by_which_header(capsys: pytest.CaptureFixture[str]) -> None:
    pool = Pool("pool")
    for name, targets in (("a", 2), ("b", 1)):
        document = model(name, name)
        document["metadata"]["annotations"] = {"signalbox.dev/sticky-header": " X-Session "}
        document["spec"]["targetModels"] = document["spec"]["targetModels"][:targets]
        pool.put(parsed(document))
    models = {found["name"]: found for found in pool_page(pool, 0.0)["models"]}
    assert models["a"]["sticky"] == "x-session"
    assert models["b"]["sticky"] is None  # one target has nothing to decide
    configuration = configuration_page(guide_rules(), "") | {"refused": []}
    page = pool_page(pool, 0.0) | {"configuration": configuration, "refused": [], "decisions": None}
    show(page, "http://here")
    assert "; sticky by x-session" in " ".join(capsys.readouterr().out.split())


async def scraped(server: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"{server}/metrics") as answer:
        return await answer.text()


async def test_everything_an_operator_asks_is_on_one_page(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", {"pod-0": "127.0.0.2"}, port=1)
    objects = [
        model("a", "m"),
        model("b", "m"),
        pod("starting", "False", {"app": "llm"}),
        pod("typo", "True", {"app": "l"}),
    ]
    (source / "more.yaml").write_text(yaml.safe_dump_all(objects))
    (source / "broken.yaml").write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: 7}\n")
    flags = ("--secure-serving=false", "--config-text", CONFIG)
    async with picker_process(source, *flags) as process:
        ready = await process.logged("endpoint picker ready")
        server = f"http://127.0.0.1:{ready['metrics_port']}"
        done = await signalbox("status", "--server", server)
        page = json.loads((await signalbox("status", "--server", server, "--json")).out)
        metrics = await scraped(server)
    assert (done.status, done.err) == (0, "")
    for expected in (
        f"pool default/pool at {server}: 1 endpoint",
        "127.0.0.2:1",
        "  starting: not ready: Loading",
        "  typo: label app is 'l'; the pool selects app=llm",
        "a-v1 90, a-v2 10",
        "Critical",
        "InferenceModel default/b is not used: modelName 'm' belongs to the older default/a",
        "broken.yaml",
        "from --config-text",
        "profile default: filters reachable; scorers queue-scorer x 2, prefix-cache-scorer x 3; picker max-score-",
        "saturation detector utilization-detector",
        "prefix index: 0 blocks",
        "0 of at most 1000 kept",
    ):
        assert expected in done.out, expected
    assert [found["pod"] for found in page["left_out"]] == ["starting", "typo"]
    assert len(page["refused"]) == 1
    assert len(page["overruled"]) == 1
    assert 'signalbox_left_out_pods{name="pool"} 1.0' in metrics
    assert 'signalbox_refused_objects{name="pool"} 1.0' in metrics


async def test_a_configuration_that_was_refused_is_told_until_it_is_mended(tmp_path: Path) -> None:
    file = tmp_path / "configuration.yaml"
    file.write_text(CONFIG)
    async with asked(tmp_path, "--config-file", str(file)) as picker:
        file.write_text(CONFIG.replace("queue-scorer, weight", "no-such-plugin, weight"))
        await picker.process.logged("configuration refused; the last good one stays in force")
        refused = await picker.json(command="status")
        text = await picker.explain(command="status")
        file.write_text(CONFIG)
        file.write_text(CONFIG.replace("weight: 2", "weight: 4"))
        await picker.process.logged("configuration in force")
        mended = await picker.json(command="status")
    assert "no-such-plugin" in refused["configuration"]["refused"][0]
    assert "refused, the last good one is in force: " in text.out
    assert mended["configuration"]["refused"] == []
    assert {"name": "queue-scorer", "weight": 4.0} in mended["configuration"]["profiles"][0]["scorers"]


async def test_what_was_refused_before_the_picker_could_see_it_is_told(tmp_path: Path) -> None:
    file = tmp_path / "refused.json"
    file.write_text(Refusals(("all.yaml:7 InferenceModel/m: no",), ("all.yaml:9 ConfigMap/c: no",)).text())
    async with asked(tmp_path, "--refused-file", str(file)) as picker:
        page = await picker.json(command="status")
        text = await picker.explain(command="status")
        metrics = await scraped(picker.server)
        file.write_text(Refusals().text())
        mended = await picker.json(command="status")
        quiet = await scraped(picker.server)
    assert page["refused"] == ["all.yaml:7 InferenceModel/m: no"]
    assert page["configuration"]["refused"] == ["all.yaml:9 ConfigMap/c: no"]
    assert "refused, the guide's filter tree is in force: all.yaml:9 ConfigMap/c: no" in text.out
    assert (mended["refused"], mended["configuration"]["refused"]) == ([], [])
    for name, before in (("signalbox_refused_objects", 1.0), ("signalbox_configuration_refused", 1.0)):
        assert f'{name}{{name="pool"}} {before}' in metrics
        assert f'{name}{{name="pool"}} 0.0' in quiet


async def test_a_pool_without_endpoints_is_said_and_gives_status_1(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source")
    (source / "pool.yaml").write_text((source / "pool.yaml").read_text().replace("status: 'True'", "status: 'False'"))
    async with picker_process(source, "--secure-serving=false") as process:
        ready = await process.logged("endpoint picker ready")
        done = await signalbox("status", "--server", f"http://127.0.0.1:{ready['metrics_port']}")
    assert done.status == 1
    assert "no endpoint; see that its pods run, match its selector and are Ready" in done.out
    assert "pod-0: not ready: its Ready condition is False" in done.out


class TestPage:
    """What the page says, without a process."""

    def test_an_endpoint_that_was_never_scraped_has_no_age(self, build_pool: Any, objects: Any) -> None:
        pool = build_pool((1, 0.5, {"a"}))
        pool.put(objects.pod("new", "192.168.1.9"))
        old, new = pool_page(pool, 2.0)["endpoints"]
        assert (old["scraped_seconds_ago"], old["active_adapters"], old["waiting"]) == (2.0, ["a"], 1)
        assert (new["scraped_seconds_ago"], new["active_adapters"]) == (None, [])

    def test_many_pods_that_are_left_out_are_counted(self, objects: Any) -> None:
        pool = Pool("pool")
        pool.set_pool(objects.pool())
        for number in range(MOST_LEFT_OUT + 7):
            pool.put(objects.pod(f"pod-{number}", "10.0.0.1", ready=False))
        page = pool_page(pool, 0.0)
        assert (len(page["left_out"]), page["left_out_more"]) == (MOST_LEFT_OUT, 7)

    def test_the_guides_tree_is_a_configuration_like_any_other(self) -> None:
        page = configuration_page(guide_rules(), "the guide's filter tree")
        (profile,) = page["profiles"]
        assert profile == {
            "name": "guide",
            "filters": ["reachable", "decision-tree"],
            "scorers": [],
            "picker": "max-score-picker",
        }
        assert (page["plugins"], page["faults"]) == ([], {})

    def test_plugins_that_fail_are_counted_by_name(self, build_pool: Any) -> None:
        rules = policy_rules(load_policy(CONFIG, name="test"), build_pool((0, 0, set())))
        assert rules.policy is not None
        rules.policy.faults["queue-scorer"] += 3
        assert faults_of(rules) == configuration_page(rules, "x")["faults"] == {"queue-scorer": 3}

    @pytest.mark.parametrize(
        ("age", "failed", "said"),
        [
            (None, 0, "not read yet"),
            (None, 4, "never read, 4 failed"),
            (0.1, 0, "fresh"),
            (9.0, 0, "9.0 s old"),
            (0.2, 3, "0.2 s old, 3 failed"),
        ],
    )
    def test_how_old_the_metrics_are(
        self, build_pool: Any, capsys: pytest.CaptureFixture[str], age: float | None, failed: int, said: str
    ) -> None:
        page = pool_page(build_pool((0, 0, set())), 0.0)
        page["endpoints"][0] |= {"scraped_seconds_ago": age, "failed_scrapes": failed}
        rules = configuration_page(guide_rules(), "x") | {"refused": []}
        show(page | {"configuration": rules, "refused": [], "decisions": None}, "http://h")
        assert said in capsys.readouterr().out

    def test_an_unknown_pool_is_said(self, capsys: pytest.CaptureFixture[str]) -> None:
        rules = configuration_page(guide_rules(), "x") | {"refused": []}
        show(pool_page(Pool("p"), 0.0) | {"configuration": rules, "refused": [], "decisions": None}, "http://h")
        assert "pool default/p at http://h: not known to its picker" in capsys.readouterr().out

    def test_a_target_that_is_held_back_is_marked_and_explained(
        self, build_pool: Any, objects: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        pool = build_pool((0, 0, set()), resources=(objects.model("m", (("v1", 1), ("v2", 1))),))
        pool.catalogue.set_listed(frozenset({"v1"}))
        page = pool_page(pool, 0.0)
        rules = configuration_page(guide_rules(), "x") | {"refused": []}
        show(page | {"configuration": rules, "refused": [], "decisions": None}, "http://h")
        shown = capsys.readouterr().out
        assert "v1 1, v2 1 (held back)" in shown
        assert "InferenceModel default/m: target 'v2' gets no traffic" in shown

    def test_that_no_target_is_loaded_anywhere_is_said(
        self, build_pool: Any, objects: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        pool = build_pool((0, 0, set()), resources=(objects.model("m", (("v2", 1),)),))
        pool.catalogue.set_listed(frozenset({"v1"}))
        page = pool_page(pool, 0.0)
        rules = configuration_page(guide_rules(), "x") | {"refused": []}
        show(page | {"configuration": rules, "refused": [], "decisions": None}, "http://h")
        shown = " ".join(capsys.readouterr().out.split())
        assert "not loaded InferenceModel default/m: no target is loaded anywhere: requests get the" in shown
