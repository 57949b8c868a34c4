"""What a container of a pod template would run, told from its image, command, arguments and environment."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

API_SERVER = "vllm.entrypoints.openai.api_server"
DEFAULT_PORT = 8000
"""The port vLLM listens on without ``--port``."""

SERVER_IMAGES = ("vllm-openai", "vllm-tpu", "vllm-cpu-release-repo", "llm-d-inference-sim", "vllm-sim")
"""Images whose entrypoint is a server with vLLM's arguments: with no ``command``, their ``args`` are the server's."""

PICKER_IMAGES = ("epp", "endpoint-picker", "llm-d-inference-scheduler", "llm-d-router")

BODY_ROUTER_IMAGES = ("bbr", "body-based-routing")

PICKER_VARIABLES = (
    "KV_CACHE_THRESHOLD",
    "QUEUE_THRESHOLD_CRITICAL",
    "QUEUING_THRESHOLD_LORA",
    "LORA_AFFINITY_THRESHOLD",
)
"""Settings of the reference picker that ours obeys as well."""

_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][-A-Za-z0-9_.]*)\)")
_SHELL_REFERENCE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_SHELLS = frozenset({"sh", "bash", "ash", "dash"})


@dataclass(frozen=True, slots=True)
class Container:
    """The fields of a container that decide what runs; ``environment`` holds only values known here."""

    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    ports: tuple[tuple[str, int], ...] = ()
    """``(name, containerPort)`` in the order of the manifest; the name may be empty."""

    @property
    def variables(self) -> dict[str, str]:
        """The environment with ``$(NAME)`` references to earlier variables replaced, as the kubelet does."""
        known: dict[str, str] = {}
        for name, value in self.environment:
            known[name] = expand(value, known)
        return known

    def port_number(self, port: int | str) -> int | None:
        """The number of a port given by number, by digits or by name; ``None`` for an unknown name."""
        if isinstance(port, int):
            return port
        if port.isdigit():
            return int(port)
        return next((number for name, number in self.ports if name == port), None)


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` by its value; ``$$`` is a dollar sign, and a name that is not known stays as it is."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "$"
        return variables.get(name, match[0])

    return _REFERENCE.sub(value, text)


def vllm_arguments(container: Container) -> tuple[str, ...] | None:
    """Return the arguments of the vLLM server this container runs, or ``None`` when it runs something else.

    ``vllm serve MODEL`` comes back as ``--model MODEL``; the words of a ``sh -c`` line are found inside the line.
    """
    variables = container.variables
    words = [expand(word, variables) for word in (*container.command, *container.args)]
    if container.command and _program(words[0]) in _SHELLS:
        words = _shell_words(words, variables)
    found = _arguments_after_server(words)
    if found is None and not container.command and image_name(container.image) in SERVER_IMAGES:
        found = _with_model_flag(words)
    return None if found is None else tuple(found)


def syncer_arguments(container: Container) -> tuple[str, ...]:
    """The flags a LoRA syncer's container gives it. The program is replaced by ours, so what names it is left out.

    That is an image's own entrypoint (only ``args`` are given then), ``python sidecar.py``, ``python -m sidecar``,
    ``signalbox lora-syncer``, with or without a ``sh -c`` around it.
    """
    variables = container.variables
    words = [expand(word, variables) for word in (*container.command, *container.args)]
    if container.command and _program(words[0]) in _SHELLS:
        commands = [each for each in _shell_commands(words, variables) or [] if each]
        words = next((each for each in commands if _flags_of_program(each) is not None), (commands or [[]])[-1])
    found = _flags_of_program(words)
    if found is None:
        first = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
        found = words[first:]
    return tuple(found)


def listen_port(arguments: Sequence[str], container: Container) -> int:
    """The port the server listens on: its ``--port``, else the first containerPort, else vLLM's 8000."""
    text = last_option(arguments, "--port")
    if text is not None and text.isdigit():
        return int(text)
    return container.ports[0][1] if container.ports else DEFAULT_PORT


def model_name(arguments: Sequence[str]) -> str | None:
    """The name clients use for the server's base model: the first ``--served-model-name``, else ``--model``."""
    return last_option(arguments, "--served-model-name") or last_option(arguments, "--model")


def is_picker_image(image: str) -> bool:
    """Whether an image is an endpoint picker, ours or the reference's."""
    name = image_name(image)
    return any(name == known or name.startswith(f"{known}-") or name.endswith(f"-{known}") for known in PICKER_IMAGES)


def is_body_router(container: Container) -> bool:
    """Whether a container is body-based routing, ours or the reference's."""
    words = (*container.command, *container.args)
    return image_name(container.image) in BODY_ROUTER_IMAGES or "bbr" in (_program(word) for word in words[:2])


def image_name(image: str) -> str:
    """The last path element of an image without tag and digest: ``epp`` for ``example.org/a/epp:main``."""
    return image.split("@", 1)[0].rsplit("/", 1)[-1].split(":", 1)[0]


def _program(word: str) -> str:
    return word.rsplit("/", 1)[-1]


def _arguments_after_server(words: Sequence[str]) -> list[str] | None:
    for i, word in enumerate(words):
        if word == API_SERVER:
            return list(words[i + 1 :])
        if _program(word) == "vllm" and words[i + 1 : i + 2] == ["serve"]:
            return _with_model_flag(words[i + 2 :])
    return None


def _flags_of_program(words: Sequence[str]) -> list[str] | None:
    """What follows a script, a module or ``lora-syncer``; ``None`` where there is no such word before the flags."""
    for i, word in enumerate(words):
        if word.endswith(".py") or _program(word) == "lora-syncer":
            return list(words[i + 1 :])
        if word == "-m":
            return list(words[i + 2 :])
    return None


def _with_model_flag(words: Sequence[str]) -> list[str]:
    if words and not words[0].startswith("-"):
        return ["--model", *words]
    return list(words)


def last_option(arguments: Sequence[str], flag: str) -> str | None:
    """The value of a flag, ``--flag VALUE`` or ``--flag=VALUE``, the last where it is repeated; ``None`` without it."""
    found = None
    for i, word in enumerate(arguments):
        if word == flag and i + 1 < len(arguments):
            found = arguments[i + 1]
        elif word.startswith(f"{flag}="):
            found = word.split("=", 1)[1]
    return found


def _shell_words(words: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    """The words of the command that starts vLLM inside ``sh -c LINE``; other commands of the line are left out."""
    commands = _shell_commands(words, variables) or []
    return next((each for each in commands if _arguments_after_server(each) is not None), list(words))


def _shell_commands(words: Sequence[str], variables: Mapping[str, str]) -> list[list[str]] | None:
    """The commands inside ``sh -c LINE``; ``None`` where there is no such line, or none a shell could read."""
    script = next((words[i + 1] for i, word in enumerate(words[:-1]) if re.fullmatch(r"-\w*c", word)), None)
    if script is None:
        return None
    lexer = shlex.shlex(script.replace("\\\n", " ").replace("\n", " ; "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        tokens = list(lexer)
    except ValueError:  # an unclosed quote: the shell would refuse it as well
        return None
    commands: list[list[str]] = [[]]
    for token in tokens:
        if not token or set(token) <= set("();<>|&"):
            commands.append([])
        else:
            commands[-1].append(_shell_expand(token, variables))
    return commands


def _shell_expand(token: str, variables: Mapping[str, str]) -> str:
    return _SHELL_REFERENCE.sub(lambda match: variables.get(match[1] or match[2], ""), token)
