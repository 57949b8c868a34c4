"""Reading the rollout configuration."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.adapters.config import Adapter, InvalidConfig, Parsed, parse_config

GUIDE = """
vLLMLoRAConfig:
  name: vllm-llama3-8b-instruct-adapters
  port: 8000
  defaultBaseModel: meta-llama/Llama-3.1-8B-Instruct
  ensureExist:
    models:
      - id: food-review-1
        source: Kawon/llama3.1-food-finetune_v14_r8
      - base-model: other
        id: food-review-2
        source: /adapters/two
  ensureNotExist:
    models:
    - {id: old, source: somewhere}
"""


def problems(text: str, validate: bool = True) -> list[str]:
    with pytest.raises(InvalidConfig) as raised:
        parse_config(text, "c.yaml", validate)
    return raised.value.problems


def entry(lines: str, block: str = "ensureExist") -> str:
    return f"vLLMLoRAConfig:\n  {block}:\n    models:\n{lines}"


def test_the_guide_s_configuration() -> None:
    config = parse_config(GUIDE, "c.yaml").config
    assert config.server == "localhost:8000"
    assert config.default_base_model == "meta-llama/Llama-3.1-8B-Instruct"
    assert [(a.id, a.source, a.base_model) for a in config.ensure_exist.models] == [
        ("food-review-1", "Kawon/llama3.1-food-finetune_v14_r8", ""),
        ("food-review-2", "/adapters/two", "other"),
    ]
    assert [a.id for a in config.ensure_not_exist.models] == ["old"]
    assert parse_config(GUIDE, "c.yaml").warnings == ()


def test_everything_has_a_default() -> None:
    config = parse_config("vLLMLoRAConfig: {}", "c.yaml").config
    assert (config.server, config.ensure_exist.models, config.ensure_not_exist.models) == ("localhost:8000", [], [])


def test_an_ipv6_host_is_put_in_brackets() -> None:
    assert parse_config("vLLMLoRAConfig: {host: 'fd00::1', port: 80}", "c.yaml").config.server == "[fd00::1]:80"


@pytest.mark.parametrize("text", [entry(""), "vLLMLoRAConfig:\n  ensureExist:\n", "vLLMLoRAConfig:\n  name: ''"])
def test_an_empty_list_may_be_written_as_nothing(text: str) -> None:
    assert parse_config(text, "c.yaml").config.ensure_exist.models == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "c.yaml: vLLMLoRAConfig: missing; put the configuration under this key"),
        ("vllmLoraConfig: {}", "c.yaml: vLLMLoRAConfig: missing; put the configuration under this key"),
        ("vLLMLoRAConfig:", "c.yaml: vLLMLoRAConfig: nothing where a mapping is needed; indent its keys"),
        (
            entry("    - {id: a, source: s}\n    - {id: b}"),
            "c.yaml: vLLMLoRAConfig.ensureExist.models[1].source: missing; give the adapter's path or hub id",
        ),
        (
            entry("    - {source: s}", "ensureNotExist"),
            "c.yaml: vLLMLoRAConfig.ensureNotExist.models[0].id: missing; give the name requests use for the adapter",
        ),
        (
            entry("    - {id: '', source: s}"),
            "c.yaml: vLLMLoRAConfig.ensureExist.models[0].id: empty; give the name requests use for the adapter",
        ),
        (
            entry("    - {id: 7, source: s}"),
            "c.yaml: vLLMLoRAConfig.ensureExist.models[0].id: a number where text is needed; put it in quotes",
        ),
        (
            entry("    - just-a-name"),
            "c.yaml: vLLMLoRAConfig.ensureExist.models[0]: text where a mapping is needed; give id and source",
        ),
        (
            "vLLMLoRAConfig: {ensureExist: {}}",
            "c.yaml: vLLMLoRAConfig.ensureExist.models: missing; give a list of adapters, each with id and source",
        ),
        (
            "vLLMLoRAConfig: {ensureExist: {models: {id: a}}}",
            "c.yaml: vLLMLoRAConfig.ensureExist.models: a mapping where a list is needed; "
            "give a list of adapters, each with id and source",
        ),
        (
            "vLLMLoRAConfig: {port: '8000'}",
            "c.yaml: vLLMLoRAConfig.port: text where a whole number is needed; "
            "give a port from 1 to 65535, without quotes",
        ),
        (
            entry("    - {id: a, source: s}\n    - {id: a, source: t}"),
            "c.yaml: vLLMLoRAConfig.ensureExist.models[1].id: 'a' is listed before with another source; "
            "keep one of the two",
        ),
    ],
)
def test_a_mistake_is_named_with_its_file_field_and_fix(text: str, problem: str) -> None:
    assert problems(text) == [problem]


def test_a_port_out_of_range_and_a_broken_yaml_are_named() -> None:
    assert "vLLMLoRAConfig.port: 70000: " in problems("vLLMLoRAConfig: {port: 70000}")[0]
    assert "c.yaml: not YAML: " in problems("vLLMLoRAConfig: [")[0]


def test_every_mistake_is_told_at_once() -> None:
    assert len(problems(entry("    - {id: a}\n    - {source: s}\n    - {}"))) == 4


def test_the_same_entry_twice_is_no_mistake() -> None:
    assert parse_config(entry("    - {id: a, source: s}\n    - {id: a, source: s}"), "c.yaml").warnings == ()


def test_unknown_keys_pass_with_a_suggestion() -> None:
    parsed = parse_config(GUIDE.replace("defaultBaseModel", "defaultBasemodel") + "extra: 1\n", "c.yaml")
    assert parsed.warnings == (
        "c.yaml: extra: unknown, ignored; known here: vLLMLoRAConfig",
        "c.yaml: vLLMLoRAConfig.defaultBasemodel: unknown, ignored; did you mean defaultBaseModel?",
    )


def test_base_model_with_an_underscore_is_understood_with_a_warning() -> None:
    parsed = parse_config(entry("    - {id: a, source: s, base_model: b}"), "c.yaml")
    assert parsed.config.ensure_exist.models[0].base_model == "b"
    assert parsed.warnings == (
        "c.yaml: vLLMLoRAConfig.ensureExist.models[0].base_model: read as base-model; write base-model",
    )


class TestWithoutValidation:
    def test_wrong_entries_are_left_out_and_said_and_the_rest_is_used(self) -> None:
        lines = "".join(f"    - {{id: a{n}{', source: s' if n % 3 else ''}}}\n" for n in range(12))
        parsed = parse_config(entry(lines).replace("ensureExist", "port: no\n  ensureExist", 1), "c.yaml", False)
        assert [a.id for a in parsed.config.ensure_exist.models] == [f"a{n}" for n in range(12) if n % 3]
        assert parsed.config.port == 8000
        assert len(parsed.warnings) == 5
        assert all("left out" in warning for warning in parsed.warnings)

    def test_the_first_of_two_contradictions_stays(self) -> None:
        parsed = parse_config(entry("    - {id: a, source: s}\n    - {id: a, source: t}"), "c.yaml", False)
        assert parsed.config.ensure_exist.models == [Adapter(id="a", source="s", **{"base-model": ""})]

    def test_a_text_with_nothing_to_use_is_still_refused(self) -> None:
        assert problems("no: thing", validate=False)


_scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
_keys = st.sampled_from(["id", "source", "base-model", "base_model", "x"])
_blocks = st.fixed_dictionaries(
    {}, optional={"models": _scalars | st.lists(_scalars | st.dictionaries(_keys, _scalars))}
)
_roots = st.fixed_dictionaries(
    {},
    optional={
        "host": _scalars,
        "port": _scalars,
        "defaultBaseModel": _scalars,
        "ensureExist": _scalars | _blocks,
        "ensureNotExist": _scalars | _blocks,
    },
)


@settings(deadline=None)
@given(_roots)
def test_any_document_is_read_or_refused_and_without_validation_always_read(root: object) -> None:
    import yaml

    text = yaml.safe_dump({"vLLMLoRAConfig": root})
    found: list[str] = []
    try:
        parse_config(text, "c.yaml")
    except InvalidConfig as error:
        found = error.problems or ["refused without a reason"]
    assert all(problem.startswith("c.yaml: vLLMLoRAConfig.") for problem in found)
    assert isinstance(parse_config(text, "c.yaml", False), Parsed)
