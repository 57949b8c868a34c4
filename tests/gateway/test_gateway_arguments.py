"""Command lines that cannot work are told when they are read, and the last good Deployment stays."""

import pytest
from tests.gateway.gateway_manifests import POOL, SERVER, parse

from signalbox.gateway.arguments import ArgumentCheck
from signalbox.resources import Deployment
from signalbox.sources import Manifests


def server(args: str) -> str:
    """The Deployment with these arguments for its server."""
    command = "command: [vllm, serve, $(MODEL)]"
    return SERVER.replace(command, f"{command}\n        args: [{args}]")


def syncer(args: str) -> str:
    """The Deployment with these arguments for its syncer."""
    return SERVER.replace("- name: syncer\n", f"- name: syncer\n        args: [{args}]\n")


def manifests(*texts: str) -> Manifests:
    return Manifests(parse("\n---\n".join(texts)), (), ())


def replicas(found: Manifests) -> list[int]:
    return [each.spec.replicas for each in found.resources if isinstance(each, Deployment)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            server("--max-loras, x"),
            "containers[0].args: --max-loras: 'x' is not a positive whole number; correct --max-loras",
        ),
        (
            server("--num-gpu-blocks-override, '1'"),
            "containers[0].args: --max-model-len: 131072 tokens do not fit into the KV cache of 16; "
            "lower it or raise --gpu-memory-utilization or --num-gpu-blocks-override",
        ),
        (
            SERVER.replace(" $(MODEL)]", "]"),
            "containers[0].command: --model: no model given; "
            "name one, such as --model meta-llama/Llama-3.1-8B-Instruct",
        ),
        (server("--help"), "containers[0].args: --help: prints a text and ends; remove it"),
        (
            syncer("--reconcile-trigger, soon"),
            "initContainers[0].args: --reconcile-trigger: invalid: 'soon' is not a number of seconds above 0; "
            "correct --reconcile-trigger",
        ),
        (
            syncer("--nonsense"),
            "initContainers[0].args: unrecognized arguments: --nonsense; correct it",
        ),
    ],
)
def test_a_problem_names_the_deployment_the_field_and_the_fix(
    text: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = ArgumentCheck().check(manifests(POOL, text))
    (told,) = found.problems
    assert str(told) == f"test.yaml Deployment/vllm spec.template.spec.{problem}"
    assert [each.kind for each in found.resources] == ["InferencePool"]
    assert capsys.readouterr().out == ""


def test_the_last_good_one_stays_in_force_until_it_is_mended_or_deleted() -> None:
    check = ArgumentCheck()
    assert replicas(check.check(manifests(SERVER))) == [2]
    bad = manifests(server("--max-loras, x").replace("replicas: 2", "replicas: 5"))
    for _ in range(2):
        found = check.check(bad)
        assert replicas(found) == [2]
        assert len(found.problems) == 1
    mended = check.check(manifests(SERVER.replace("replicas: 2", "replicas: 3")))
    assert (replicas(mended), mended.problems) == ([3], ())
    assert replicas(check.check(manifests(POOL))) == []
    assert replicas(check.check(bad)) == [], "what was deleted is not brought back by a mistake"


def test_what_works_passes_untouched() -> None:
    good = manifests(POOL, server("--max-loras, '2', --not-simulated, x"), syncer("--metrics-port, '9'"))
    assert ArgumentCheck().check(good) == good
