"""The walk-through's files: each step changes what it says, and nothing else."""

from pathlib import Path

import pytest

from signalbox.gateway.configurations import ConfigurationCheck
from signalbox.gateway.desired import routing_gaps, sort_out
from signalbox.gateway.envoy import body_routing_wanted
from signalbox.resources import Key, Resource
from signalbox.sources import ManifestReader

EXAMPLES = Path(__file__).parents[2] / "examples"
STEPS = EXAMPLES / "get-started-steps"
ADAPTERS = Key("ConfigMap", "default", "vllm-llama3-8b-instruct-adapters")
MODEL = Key("InferenceModel", "default", "food-review")


def objects(path: Path) -> dict[Key, Resource]:
    manifests = ManifestReader([path]).read()
    assert manifests.problems == ()
    return {each.key: each for each in manifests.resources}


@pytest.mark.parametrize(
    ("step", "original", "changed"),
    [
        ("step-2-adapters.yaml", "01-gpu-deployment.yaml", ADAPTERS),
        ("step-3-inferencemodel.yaml", "02-inferencemodel.yaml", MODEL),
        ("step-4-inferencemodel.yaml", "02-inferencemodel.yaml", MODEL),
        ("step-4-adapters.yaml", "01-gpu-deployment.yaml", ADAPTERS),
    ],
)
def test_a_step_changes_one_object_of_the_file_it_replaces(step: str, original: str, changed: Key) -> None:
    before, after = objects(EXAMPLES / "get-started" / original), objects(STEPS / step)
    assert before.keys() == after.keys()
    assert {key for key in before if before[key] != after[key]} == {changed}


def test_every_step_is_told_with_a_command() -> None:
    story = (EXAMPLES / "get-started" / "README.md").read_text()
    for step in STEPS.iterdir():
        assert f"cp examples/get-started-steps/{step.name} examples/get-started/0" in story


@pytest.mark.parametrize("example", ["scheduling", "two-models"])
def test_every_example_says_how_it_is_run_and_leaves_nothing_to_complain_about(example: str) -> None:
    assert f"signalbox up examples/{example}" in (EXAMPLES / example / "README.md").read_text()
    resources = objects(EXAMPLES / example).values()
    desired, problems = ConfigurationCheck().check(sort_out(resources))
    assert problems == ()
    assert routing_gaps(desired) == ()


def test_the_examples_show_what_they_are_for() -> None:
    scheduling, _ = ConfigurationCheck().check(sort_out(objects(EXAMPLES / "scheduling").values()))
    assert list(scheduling.configurations) == [scheduling.pools[0].key]
    two = sort_out(objects(EXAMPLES / "two-models").values())
    assert len(two.pools) == 2
    assert body_routing_wanted(two.routes)
