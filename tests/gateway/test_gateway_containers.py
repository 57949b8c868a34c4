"""What a container runs, told from its manifest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.gateway.containers import (
    Container,
    expand,
    image_name,
    is_picker_image,
    listen_port,
    model_name,
    syncer_arguments,
    vllm_arguments,
)

API_SERVER = "vllm.entrypoints.openai.api_server"


@pytest.mark.parametrize(
    ("command", "args", "expected"),
    [
        (("python3", "-m", API_SERVER), ("--model", "m"), ("--model", "m")),
        (("python3", "-m", API_SERVER, "--model", "m"), ("--port", "1"), ("--model", "m", "--port", "1")),
        (("vllm", "serve"), ("m", "--port", "1"), ("--model", "m", "--port", "1")),
        (("/usr/local/bin/vllm", "serve", "m"), (), ("--model", "m")),
        (("vllm", "serve", "--model=m"), (), ("--model=m",)),
        (("/bin/sh", "-c"), ("vllm serve m --port 8001",), ("--model", "m", "--port", "8001")),
        (("bash", "-lc", "pip install x && exec vllm serve 'a b' | tee log"), (), ("--model", "a b")),
        (("sh", "-c", f"python3 -m {API_SERVER} \\\n  --model m\necho done"), (), ("--model", "m")),
        (("sh", "-c", "vllm serve ${NAME} --port $PORT --x $NOT"), (), ("--model", "n", "--port", "9", "--x", "")),
        (("vllm", "serve", "$(NAME)", "$(NOT)", "$$(NAME)"), (), ("--model", "n", "$(NOT)", "$(NAME)")),
    ],
)
def test_a_container_runs_vllm_when_its_command_or_arguments_say_so(
    command: tuple[str, ...], args: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    container = Container("c", command=command, args=args, environment=(("NAME", "n"), ("PORT", "9")))
    assert vllm_arguments(container) == expected


@pytest.mark.parametrize(
    ("image", "command", "args"),
    [
        ("nginx", ("nginx",), ()),
        ("nginx", (), ("--model", "m")),
        ("vllm/vllm-openai:latest", ("sleep", "infinity"), ()),
        ("python", ("sh", "-c", "echo 'unclosed"), ()),
        ("python", ("sh",), ()),
        ("python", ("vllm", "bench"), ()),
    ],
)
def test_anything_else_is_not_vllm(image: str, command: tuple[str, ...], args: tuple[str, ...]) -> None:
    assert vllm_arguments(Container("c", image, command, args)) is None


def test_an_image_whose_entrypoint_is_the_server_needs_no_command() -> None:
    assert vllm_arguments(Container("c", "docker.io/vllm/vllm-openai:v0.9", (), ("--model", "m"))) == ("--model", "m")
    assert vllm_arguments(Container("c", "vllm/vllm-openai", (), ("m", "--port", "1"))) == (
        "--model",
        "m",
        "--port",
        "1",
    )


def test_variables_refer_only_to_earlier_ones() -> None:
    container = Container("c", environment=(("A", "1$(B)"), ("B", "$(A)2"), ("A", "3")))
    assert container.variables == {"A": "3", "B": "1$(B)2"}


@given(st.text(), st.dictionaries(st.sampled_from(["A", "B"]), st.text()))
def test_expansion_leaves_text_without_dollars_alone(text: str, variables: dict[str, str]) -> None:
    assert expand(text.replace("$", ""), variables) == text.replace("$", "")


@given(st.lists(st.text(st.characters(codec="ascii", min_codepoint=32))))
def test_no_shell_line_is_too_odd_to_look_at(words: list[str]) -> None:
    found = vllm_arguments(Container("c", "x", ("sh", "-c", *words)))
    assert found is None or any("vllm" in word for word in words)


@pytest.mark.parametrize(
    ("arguments", "ports", "expected"),
    [
        (("--port", "1", "--port", "2"), (("http", 3),), 2),
        (("--port=4",), (), 4),
        ((), (("", 3), ("b", 5)), 3),
        (("--port", "$(PORT)"), (("", 3),), 3),
        ((), (), 8000),
    ],
)
def test_the_port_is_the_last_flag_else_the_first_container_port_else_8000(
    arguments: tuple[str, ...], ports: tuple[tuple[str, int], ...], expected: int
) -> None:
    assert listen_port(arguments, Container("c", ports=ports)) == expected


def test_clients_use_the_served_name_before_the_model() -> None:
    assert model_name(("--model", "a/b")) == "a/b"
    assert model_name(("--model", "a/b", "--served-model-name", "b", "c")) == "b"
    assert model_name(()) is None


def test_ports_are_found_by_number_digits_and_name() -> None:
    container = Container("c", ports=(("http", 8000),))
    assert [container.port_number(port) for port in (1, "2", "http", "grpc")] == [1, 2, 8000, None]


def test_pickers_are_told_by_the_last_part_of_their_image() -> None:
    assert image_name("example.org:5000/a/epp@sha256:0") == "epp"
    assert is_picker_image("example.org/gateway-api-inference-extension/epp:main")
    assert is_picker_image("x/endpoint-picker")
    assert is_picker_image("x/signalbox-epp:1")
    assert not is_picker_image("x/steppe:1")


@pytest.mark.parametrize(
    ("command", "args", "expected"),
    [
        ((), (), ()),
        ((), ("--reconcile-trigger", "1"), ("--reconcile-trigger", "1")),
        (("python", "sidecar.py"), ("--reconcile-trigger", "1"), ("--reconcile-trigger", "1")),
        (("python", "-u", "/app/sidecar.py", "--metrics-port=1"), (), ("--metrics-port=1",)),
        (("python3", "-m", "sidecar.sidecar", "--metrics-port", "1"), (), ("--metrics-port", "1")),
        (("/usr/bin/signalbox", "lora-syncer"), ("--config", "$(FILE)"), ("--config", "/c.yaml")),
        (("run-the-syncer", "--once"), (), ("--once",)),
        (("sh", "-c"), ("sleep 1; exec python sidecar.py --config $FILE",), ("--config", "/c.yaml")),
        (("sh", "-c", "run-the-syncer --once"), (), ("--once",)),
        (("sh", "-c", "an 'unclosed quote"), (), ()),
        (("sh",), (), ()),
    ],
)
def test_of_a_syncers_command_only_the_flags_are_kept(
    command: tuple[str, ...], args: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    container = Container("c", command=command, args=args, environment=(("FILE", "/c.yaml"),))
    assert syncer_arguments(container) == expected


@given(st.lists(st.text()), st.lists(st.text()))
def test_no_command_is_too_odd_for_a_syncer(command: list[str], args: list[str]) -> None:
    found = syncer_arguments(Container("c", command=("sh", "-c", *command), args=tuple(args)))
    assert all(isinstance(word, str) for word in found)
