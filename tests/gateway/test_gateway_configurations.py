"""A picker's EndpointPickerConfig comes from its Deployment, is checked first, and the last good one stays."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.gateway_manifests import PICKER, POOL, parse

from signalbox.gateway import configurations
from signalbox.gateway.configurations import ConfigurationCheck
from signalbox.gateway.desired import Desired, sort_out
from signalbox.gateway.picker_deployment import go_option
from signalbox.pool import Floats, Rows
from signalbox.resources import Key
from signalbox.scheduling import Cycle, Parameters, ScorerPlugin
from signalbox.scheduling.configuration import loader
from signalbox.scheduling.plugin import Plugin
from signalbox.scheduling.registry import Registry, load_registry
from signalbox.sources import ManifestReader

POOL_KEY = Key("InferencePool", "default", "pool")
CONFIG = """\
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: queue-scorer
schedulingProfiles:
- name: default
  plugins: [{pluginRef: queue-scorer}]
"""
FIELD = "spec.template.spec.containers[0].args --config-file"


def deployed(*args: str, volumes: str = "[{name: v, configMap: {name: cm}}]") -> str:
    """The picker's Deployment with these arguments and the ConfigMap ``cm`` mounted at /config."""
    more = f"        args: {list(args)}\n        volumeMounts: [{{name: v, mountPath: /config}}]\n"
    return PICKER.replace("      - name: c\n", f"      - name: c\n{more}") + f"      volumes: {volumes}\n"


def config_map(text: str, key: str = "epp.yaml") -> str:
    indented = "".join(f"    {line}\n" for line in text.splitlines())
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: cm}}\ndata:\n  {key}: |\n{indented}"


def asked(*texts: str) -> Desired:
    return sort_out(parse("\n---\n".join((POOL, *texts))))


def told(desired: Desired, check: ConfigurationCheck | None = None) -> tuple[str | None, list[str]]:
    """The configuration that the pool's picker gets, and the problems."""
    checked, problems = (check or ConfigurationCheck()).check(desired)
    return checked.configurations.get(POOL_KEY), [str(problem) for problem in problems]


@pytest.mark.parametrize(
    "args",
    [
        ("--config-file", "/config/epp.yaml"),
        ("-configFile", "/config/epp.yaml"),
        ("-config-file=/config/epp.yaml",),
        ("--configFile=/config/epp.yaml", "--pool-name", "x"),
        ("epp", "--config-file", "/other", "--config-file", "/config/epp.yaml"),
    ],
)
def test_the_file_is_the_key_of_the_config_map_mounted_at_its_path(args: tuple[str, ...]) -> None:
    assert told(asked(deployed(*args), config_map(CONFIG))) == (CONFIG, [])


def test_a_configuration_may_stand_in_the_arguments() -> None:
    text = "{apiVersion: llm-d.ai/v1alpha1, kind: EndpointPickerConfig}"
    assert told(asked(deployed("--config-text", text))) == (text, [])


def test_without_such_an_argument_there_is_none() -> None:
    assert told(asked(deployed("--pool-name", "pool"), config_map(CONFIG))) == (None, [])
    assert told(asked(PICKER)) == (None, [])


def test_items_and_sub_paths_of_the_volume_are_followed() -> None:
    volumes = "[{name: v, configMap: {name: cm, items: [{key: epp.yaml, path: deep/other.yaml}]}}]"
    deployment = deployed("--config-file", "/config/deep/other.yaml", volumes=volumes)
    assert told(asked(deployment, config_map(CONFIG))) == (CONFIG, [])
    sub_path = deployed("--config-file", "/config").replace(
        "mountPath: /config", "mountPath: /config, subPath: epp.yaml"
    )
    assert told(asked(sub_path, config_map(CONFIG))) == (CONFIG, [])


def test_variables_in_the_arguments_are_expanded() -> None:
    deployment = deployed("--config-file", "$(KV_CACHE_THRESHOLD)")
    (problem,) = told(asked(deployment))[1]
    assert "no ConfigMap is mounted at 0.7" in problem


@pytest.mark.parametrize(
    ("deployment", "others", "problem"),
    [
        (
            deployed("--config-file", "/elsewhere/epp.yaml"),
            config_map(CONFIG),
            f"{FIELD}: no ConfigMap is mounted at /elsewhere/epp.yaml; mount one with the EndpointPickerConfig; "
            "other volumes hold nothing here",
        ),
        (
            deployed("--config-file", "/config/epp.yaml", volumes="[{name: v, emptyDir: {}}]"),
            config_map(CONFIG),
            f"{FIELD}: no ConfigMap is mounted at /config/epp.yaml; mount one with the EndpointPickerConfig; "
            "other volumes hold nothing here",
        ),
        (deployed("--config-file", "/config/epp.yaml"), "", f"{FIELD}: ConfigMap cm does not exist; add it"),
        (
            deployed("--config-file", "/config/epp.yaml"),
            config_map(CONFIG, "other.yaml"),
            f"{FIELD}: ConfigMap cm has no key epp.yaml; add the key, or correct the path",
        ),
    ],
)
def test_what_is_not_there_is_told_with_the_deployments_field(deployment: str, others: str, problem: str) -> None:
    assert told(asked(deployment, others)) == (None, [f"test.yaml Deployment/chooser {problem}"])


def test_what_is_wrong_inside_is_told_with_the_line_of_the_manifest(tmp_path: Path) -> None:
    manifest = tmp_path / "all.yaml"
    bad = config_map(CONFIG.replace("queue-scorer}", "queue-scorer, weight: -1}"))
    manifest.write_text("\n---\n".join((POOL, deployed("--config-file", "/config/epp.yaml"), bad)))
    line = next(n for n, text in enumerate(manifest.read_text().splitlines(), 1) if "weight: -1" in text)
    desired = sort_out(ManifestReader([tmp_path]).read().resources)
    assert told(desired)[1] == [
        f"{manifest}:{line} document 4 ConfigMap/cm data[epp.yaml].schedulingProfiles[0].plugins[0].weight: "
        "must be at least 0, got -1; use a number in that range"
    ]


def test_the_line_is_found_inside_a_list_too(tmp_path: Path) -> None:
    indented = "".join(f"  {line}\n" for line in config_map("nothing: 1").splitlines()).replace("  api", "- api", 1)
    (tmp_path / "a.yaml").write_text(f"apiVersion: v1\nkind: List\nitems:\n{indented}")
    (tmp_path / "b.yaml").write_text("\n---\n".join((POOL, deployed("--config-file", "/config/epp.yaml"))))
    problems = told(sort_out(ManifestReader([tmp_path]).read().resources))[1]
    assert any(problem.startswith(f"{tmp_path}/a.yaml:9 document 1 ConfigMap/cm") for problem in problems), problems


def test_a_text_on_one_line_is_told_with_the_line_of_its_document(tmp_path: Path) -> None:
    one_line = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm}\ndata: {epp.yaml: 'kind: Pod'}\n"
    manifest = tmp_path / "all.yaml"
    manifest.write_text("---\n".join((one_line, POOL, deployed("--config-file", "/config/epp.yaml"))))
    problems = told(sort_out(ManifestReader([tmp_path]).read().resources))[1]
    assert problems
    assert all(problem.startswith(f"{manifest}:1 document 1 ConfigMap/cm data[epp.yaml]") for problem in problems)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "is empty; write an EndpointPickerConfig, or take --config-file away"), ("{", "")],
    ids=["empty", "not YAML"],
)
def test_text_that_is_no_configuration_at_all_is_a_problem(text: str, message: str) -> None:
    configuration, (problem, *_) = told(asked(deployed("--config-file", "/config/epp.yaml"), config_map(text)))
    assert configuration is None
    assert message in problem


def test_binary_data_is_read_and_must_be_text() -> None:
    binary = "{apiVersion: v1, kind: ConfigMap, metadata: {name: cm}, binaryData: {epp.yaml: /w==}}"
    (problem,) = told(asked(deployed("--config-file", "/config/epp.yaml"), binary))[1]
    assert problem == "test.yaml ConfigMap/cm binaryData[epp.yaml]: is not UTF-8; write it as data"


def test_the_last_good_one_stays_in_force_until_it_is_mended_or_no_longer_asked_for() -> None:
    check = ConfigurationCheck()
    deployment = deployed("--config-file", "/config/epp.yaml")
    assert told(asked(deployment, config_map("nonsense: 1")), check)[0] is None, "there has been none yet"
    assert told(asked(deployment, config_map(CONFIG)), check) == (CONFIG, [])
    for broken in (config_map("nonsense: 1"), "", config_map(CONFIG, "other")):
        text, problems = told(asked(deployment, broken), check)
        assert (text, len(problems) > 0) == (CONFIG, True)
    mended = CONFIG.replace("queue", "running-requests-size")
    assert told(asked(deployment, config_map(mended)), check)[0] == mended
    assert told(asked(PICKER), check) == (None, [])
    assert told(asked(deployment), check)[0] is None, "what was no longer asked for is not brought back by a mistake"


def test_a_plugin_that_fails_while_it_is_loaded_refuses_its_configuration_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = load_registry()
    check = ConfigurationCheck()
    args = deployed("--config-file", "/config/epp.yaml")
    assert told(asked(args, config_map(CONFIG)), check) == (CONFIG, [])

    class Failing(ScorerPlugin[Parameters]):
        type = "failing"

        def connect(self, plugins: Mapping[str, Plugin[Any]]) -> None:
            raise RuntimeError("no luck")

        def score(self, cycle: Cycle, rows: Rows) -> Floats:
            raise NotImplementedError

    found = Registry({**registry.types, "failing": Failing}, {}, frozenset({"failing"}))
    monkeypatch.setattr(loader, "load_registry", lambda: found)
    text, (problem,) = told(
        asked(args, config_map(CONFIG.replace("plugins:\n", "plugins:\n- type: failing\n", 1))), check
    )
    assert text == CONFIG, "the last good one stays in force"
    assert "'failing' failed in connect: RuntimeError: no luck" in problem


def test_what_the_reader_of_a_good_one_should_know_is_a_note() -> None:
    noted = CONFIG.replace("- type: queue-scorer\n", "- type: queue-scorer\n- type: session-affinity-scorer\n")
    checked, problems = ConfigurationCheck().check(
        asked(deployed("--config-file", "/config/epp.yaml"), config_map(noted))
    )
    assert problems == ()
    assert any(note.startswith("ConfigMap/cm data[epp.yaml]: ") for note in checked.notes), checked.notes


def test_a_flag_is_read_as_go_programs_read_it() -> None:
    assert go_option(("--a-b-c=1",), "a-b-c") == "1"
    assert go_option(("-aBC", "1", "--aBC=2"), "a-b-c") == "2"
    assert go_option(("a-b-c=1", "---a-b-c=1", "--a-b-c"), "a-b-c") is None


def test_a_refused_configuration_is_told_by_its_pool() -> None:
    bad = CONFIG.replace("queue-scorer", "queue-scorr")
    desired, problems = ConfigurationCheck().check(
        asked(deployed("--config-file", "/config/epp.yaml"), config_map(bad))
    )
    assert problems
    assert desired.refused_configurations == {POOL_KEY: problems}


class TestAFileForEveryPicker:
    def test_it_takes_the_place_of_what_manifests_say(self, tmp_path: Path) -> None:
        file = tmp_path / "epp.yaml"
        file.write_text(CONFIG)
        other = config_map(CONFIG.replace("queue-scorer", "kv-cache-utilization-scorer"))
        desired = asked(deployed("--config-file", "/config/epp.yaml"), other)
        assert told(desired, ConfigurationCheck(file)) == (CONFIG, [])

    def test_a_pool_without_a_picker_deployment_has_it_too(self, tmp_path: Path) -> None:
        file = tmp_path / "epp.yaml"
        file.write_text(CONFIG)
        assert told(asked(), ConfigurationCheck(file)) == (CONFIG, [])

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (CONFIG.replace("- type: queue", "- type: que").encode(), "{file}:4 plugins[0].type: 'que-scorer'"),
            (b"a: \xff\n", "{file}:1: is not UTF-8 text; save it as UTF-8"),
            (b"\n", "{file}: is empty; write an EndpointPickerConfig"),
            (None, "{file}: cannot be read: No such file or directory; put it back"),
        ],
    )
    def test_a_bad_one_is_told_and_the_last_good_one_stays(
        self, tmp_path: Path, content: bytes | None, problem: str
    ) -> None:
        file = tmp_path / "epp.yaml"
        file.write_text(CONFIG)
        check = ConfigurationCheck(file)
        check.check(asked())
        file.unlink()
        if content is not None:
            file.write_bytes(content)
        text, problems = told(asked(), check)
        assert text == CONFIG
        assert problems[0].startswith(problem.format(file=file))

    def test_two_pools_have_one_problem(self, tmp_path: Path) -> None:
        file = tmp_path / "epp.yaml"
        file.write_text("")
        desired, problems = ConfigurationCheck(file).check(asked(POOL.replace("name: pool", "name: other")))
        assert len(desired.pools) == len(desired.refused_configurations) == 2
        assert len(problems) == 1


def test_a_check_that_fails_by_itself_refuses_that_text_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    check = ConfigurationCheck()
    assert told(asked(deployed("--config-file", "/config/epp.yaml"), config_map(CONFIG)), check) == (CONFIG, [])

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(configurations, "load_policy", broken)
    changed = asked(deployed("--config-file", "/config/epp.yaml"), config_map(CONFIG + "# changed\n"))
    text, (problem,) = told(changed, check)
    assert text == CONFIG
    assert "ConfigMap/cm data[epp.yaml]: could not be checked (RuntimeError: no such luck)" in problem
    assert [record.exc_info is not None for record in caplog.records] == [True]
