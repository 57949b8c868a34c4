"""The server's arguments: vLLM's own, as written in a Deployment, plus what only a simulation needs."""

import argparse
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import msgspec

from signalbox.engine import DEFAULT_PROFILE, PROFILES, EngineConfig, EngineProfile
from signalbox.modelserver.kv_events_config import KVEventsConfig, read_kv_events

_COMMANDS = (
    re.compile(r"^(?:\S*/)?python[\d.]* -m vllm\.entrypoints\.openai\.api_server(?: |$)"),
    re.compile(r"^(?:(?:\S*/)?vllm )?serve(?: |$)"),
)


_PROFILE_FIELDS = tuple(EngineProfile.__dataclass_fields__)


class BadArguments(Exception):
    """An argument that cannot be used; one line that names it."""


class LoraModule(msgspec.Struct, frozen=True):
    """An adapter served from the start: ``--lora-modules NAME=PATH`` or the same as JSON."""

    name: str
    path: str
    base_model_name: str | None = None


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What one server is to be. Times in real seconds."""

    model: str
    served_names: tuple[str, ...]
    host: str
    port: int
    profile: EngineProfile
    engine: EngineConfig
    gpu_memory_utilization: float
    enable_lora: bool
    lora_modules: tuple[LoraModule, ...]
    api_keys: tuple[str, ...]
    seed: int
    prompt_tokens_details: bool
    request_id_headers: bool
    enable_faults: bool
    speed: float
    drain_seconds: float
    startup_seconds: float
    not_simulated: tuple[str, ...]
    kv_events: KVEventsConfig | None = None


def parse_options(argv: Sequence[str]) -> ServerOptions:
    """Read arguments in any of vLLM's forms: ``serve MODEL``, ``python3 -m vllm... --model MODEL`` or the flags alone.

    Raises BadArguments; ``--help`` prints the help and raises SystemExit(0).
    """
    words = [_dashes(word) for word in _without_command(list(argv))]
    positional = words.pop(0) if words and not words[0].startswith("-") else None
    found, rest = _parser().parse_known_args(words)
    unknown, stray = _split(rest)
    model = found.model or positional or stray
    if not model:
        raise BadArguments("--model: no model given; name one, such as --model meta-llama/Llama-3.1-8B-Instruct")
    for name, least in (("speed", 1e-6), ("drain_seconds", 0.0), ("startup_seconds", 0.0)):
        if not least <= getattr(found, name) < math.inf:
            raise BadArguments(f"--{name.replace('_', '-')}: {getattr(found, name)} is not a number from {least:g} up")
    if not 0 < found.gpu_memory_utilization <= 1:
        raise BadArguments(f"--gpu-memory-utilization: {found.gpu_memory_utilization} is not in (0, 1]")
    if found.tensor_parallel_size < 1:
        raise BadArguments(f"--tensor-parallel-size: {found.tensor_parallel_size} is not a positive number")
    if found.data_parallel_size != 1:
        unknown = (*unknown, "--data-parallel-size")
    profile = found.engine_profile.tensor_parallel(found.tensor_parallel_size)
    return ServerOptions(
        model=model,
        served_names=tuple(found.served_model_name or [model]),
        host=found.host,
        port=found.port,
        profile=profile,
        engine=_engine_config(found, profile),
        gpu_memory_utilization=found.gpu_memory_utilization,
        enable_lora=found.enable_lora,
        lora_modules=tuple(module for modules in found.lora_modules or () for module in modules),
        api_keys=tuple(found.api_key or ()),
        seed=found.seed,
        prompt_tokens_details=found.enable_prompt_tokens_details,
        request_id_headers=found.enable_request_id_headers,
        enable_faults=found.enable_faults,
        speed=found.speed,
        drain_seconds=found.drain_seconds,
        startup_seconds=found.startup_seconds,
        not_simulated=unknown,
        kv_events=found.kv_events_config,
    )


def _engine_config(found: argparse.Namespace, profile: EngineProfile) -> EngineConfig:
    max_loras = found.max_loras if found.enable_lora else 0
    max_model_len = found.max_model_len or profile.max_model_len
    blocks = found.num_gpu_blocks_override
    if blocks is None:
        blocks = profile.num_gpu_blocks(found.block_size, found.gpu_memory_utilization, max_loras, found.max_lora_rank)
    if blocks * found.block_size < max_model_len:
        raise BadArguments(
            f"--max-model-len: {max_model_len} tokens do not fit into the KV cache of {blocks * found.block_size}; "
            "lower it or raise --gpu-memory-utilization or --num-gpu-blocks-override"
        )
    try:
        return EngineConfig(
            num_gpu_blocks=blocks,
            block_size=found.block_size,
            max_num_seqs=found.max_num_seqs,
            # vLLM's default for an API server on an A100, where it is not lower than max_num_seqs.
            max_num_batched_tokens=found.max_num_batched_tokens or max(2048, found.max_num_seqs),
            max_model_len=max_model_len,
            prefix_caching=found.enable_prefix_caching,
            max_loras=max_loras,
            max_cpu_loras=(found.max_cpu_loras or max_loras) if found.enable_lora else 0,
            max_lora_rank=found.max_lora_rank,
        )
    except ValueError as error:
        raise BadArguments(f"--{str(error).replace('_', '-', str(error).split(':')[0].count('_'))}") from None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadArguments(message.removeprefix("argument "))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="signalbox modelserver",
        description="A simulated vLLM server. It takes vLLM's arguments; those it does not simulate are accepted.",
    )
    vllm = parser.add_argument_group("vLLM's arguments")
    vllm.add_argument("--model", help="model name or path (also as the first positional argument)")
    vllm.add_argument("--served-model-name", nargs="+", metavar="NAME", help="names to serve it under")
    vllm.add_argument("--host", default="0.0.0.0", help="address to listen on (default: %(default)s)")
    vllm.add_argument("--port", type=_port, default=8000, help="port to listen on, 0 for any (default: %(default)s)")
    vllm.add_argument("--max-model-len", type=_count, help="context in tokens, prompt and output")
    vllm.add_argument("--max-num-seqs", type=_count, default=256, help="requests in a batch (default: %(default)s)")
    vllm.add_argument("--max-num-batched-tokens", type=_count, help="token budget of a step (default: 2048)")
    vllm.add_argument("--block-size", type=_count, default=16, help="tokens in a KV block (default: %(default)s)")
    vllm.add_argument("--gpu-memory-utilization", type=float, default=0.9, help="(default: %(default)s)")
    vllm.add_argument("--num-gpu-blocks-override", type=_count, help="KV blocks, instead of what memory allows")
    vllm.add_argument("--enable-prefix-caching", action=argparse.BooleanOptionalAction, default=True)
    vllm.add_argument("--tensor-parallel-size", "-tp", type=int, default=1, help="GPUs the model is split over")
    vllm.add_argument("--data-parallel-size", "-dp", type=int, default=1, help="accepted, one engine is simulated")
    vllm.add_argument("--enable-lora", action=argparse.BooleanOptionalAction, default=False)
    vllm.add_argument("--max-loras", type=_count, default=1, help="adapters in a batch (default: %(default)s)")
    vllm.add_argument("--max-cpu-loras", type=_count, help="adapters in host memory (default: --max-loras)")
    vllm.add_argument("--max-lora-rank", type=_count, default=16, help="sets size and load time of adapters")
    vllm.add_argument("--lora-modules", nargs="+", type=_lora_modules, metavar="NAME=PATH", help="or JSON")
    vllm.add_argument("--api-key", nargs="+", metavar="KEY", help="keys /v1 asks for as bearer tokens")
    vllm.add_argument("--seed", type=int, default=0, help="changes the generated text (default: %(default)s)")
    vllm.add_argument("--enable-prompt-tokens-details", action=argparse.BooleanOptionalAction, default=False)
    vllm.add_argument("--enable-request-id-headers", action=argparse.BooleanOptionalAction, default=False)
    vllm.add_argument("--kv-events-config", type=read_kv_events, metavar="JSON", help="where to publish cache events")
    own = parser.add_argument_group("the simulation")
    own.add_argument("--speed", type=float, default=1.0, help="divides every engine time (default: %(default)s)")
    own.add_argument(
        "--engine-profile",
        type=_profile,
        default=PROFILES[DEFAULT_PROFILE],
        metavar="NAME",
        help=f"{' or '.join(PROFILES)} (the default is the first), or JSON fields that differ from the default",
    )
    own.add_argument("--drain-seconds", type=float, default=30.0, help="longest wait after SIGTERM")
    own.add_argument("--startup-seconds", type=float, default=0.0, help="/health answers 503 for so long")
    own.add_argument("--enable-faults", action="store_true", help="serve /admin/faults")
    return parser


def _without_command(words: list[str]) -> list[str]:
    line = " ".join(words)
    for command in _COMMANDS:
        match = command.match(line)
        if match:
            return words[len(match.group().split()) :]
    return words


def _dashes(word: str) -> str:
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value


def _split(rest: Sequence[str]) -> tuple[tuple[str, ...], str | None]:
    """(flags nobody knows, a positional that is no such flag's value)."""
    flags: list[str] = []
    stray: str | None = None
    for before, word in zip(["", *rest], rest, strict=False):
        if word.startswith("-"):
            flags.append(word.partition("=")[0])
        elif not before.startswith("-") and stray is None:
            stray = word
    return tuple(flags), stray


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return int(text)


def _count(text: str) -> int:
    """A positive number; like vLLM's with k, m (thousands) or K, M (1,024s)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmM]?)", text)
    factor = {"": 1, "k": 1000, "m": 1000**2, "K": 1024, "M": 1024**2}
    value = 0.0 if match is None else float(match[1]) * factor[match[2]]
    if value < 1 or value != int(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(value)


def _lora_modules(text: str) -> list[LoraModule]:
    if text.lstrip().startswith(("{", "[")):
        try:
            decoded = msgspec.json.decode(text, type=LoraModule | list[LoraModule])
        except msgspec.MsgspecError as error:
            raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None
        return decoded if isinstance(decoded, list) else [decoded]
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"{text!r} is neither NAME=PATH nor JSON")
    return [LoraModule(name, path)]


def _profile(text: str) -> EngineProfile:
    if text in PROFILES:
        return PROFILES[text]
    try:
        given = msgspec.json.decode(text, type=dict[str, float | str])
        for name in given.keys() - set(_PROFILE_FIELDS):
            raise argparse.ArgumentTypeError(f"{name!r} is not a field of a profile; {', '.join(_PROFILE_FIELDS)} are")
        return msgspec.convert({**msgspec.to_builtins(PROFILES[DEFAULT_PROFILE]), **given}, EngineProfile, strict=False)
    except msgspec.MsgspecError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a profile ({', '.join(PROFILES)}) nor a JSON object of profile fields"
        ) from None
