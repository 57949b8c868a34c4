"""Whether the gateway can answer now: what ``ready`` promises, and the request to try it with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from signalbox.gateway.desired import Desired
from signalbox.gateway.figures import Figures
from signalbox.gateway.members import Member
from signalbox.resources import InferenceModel

_READY_PODS = re.compile(r"^inference_pool_ready_pods(?:\{[^}]*\})? +([0-9.eE+]+)", re.MULTILINE)


def ready_pods(page: str) -> int | None:
    """How many ready pods a picker says it knows (``inference_pool_ready_pods``); ``None`` when it does not say."""
    match = _READY_PODS.search(page)
    return int(float(match[1])) if match else None


def target_names(model: InferenceModel) -> tuple[str, ...]:
    """The names a model's requests are rewritten to; its own where it has no targets."""
    return tuple(target.name for target in model.spec.target_models) or (model.spec.model_name,)


def missing_models(
    models: Iterable[InferenceModel], members: Iterable[Member], figures: Mapping[str, Figures]
) -> tuple[str, ...]:
    """The targets of ``models`` that some ready member does not list, by its figures or its own arguments."""
    wanted = {name: None for model in models for name in target_names(model)}
    ready = [member for member in members if member.ready]
    missing = []
    for name in wanted:
        for member in ready:
            known = figures.get(f"{member.namespace}/{member.name}")
            if name not in member.models and (known is None or name not in (known.models or ())):
                missing.append(name)
                break
    return tuple(missing)


def sample_model(desired: Desired, members: Iterable[Member], figures: Mapping[str, Figures]) -> str:
    """A name to put into the request a reader tries first."""
    for pool in desired.pools:
        for model in desired.models_of(pool):
            return model.spec.model_name
    for member in members:
        known = figures.get(f"{member.namespace}/{member.name}")
        for name in (*member.models, *((known.models or ()) if known else ())):
            return name
    return "MODEL"


def curl_lines(port: int, model: str, host: str = "localhost") -> tuple[str, ...]:
    """The command that sends a first request, in lines of a script: a shell takes them as they are.

    A terminal of 80 columns holds each, unless the names are very long.
    """
    body = [
        f'{{"model":{json.dumps(model)},',
        '"prompt":"Write as if you were a critic: San Francisco",',
        '"max_tokens":100,"temperature":0}',
    ]
    first, *rest = [line.replace("'", "'\\''") for line in body]
    return (
        f"curl -i {host}:{port}/v1/completions \\",
        "  -H 'Content-Type: application/json' \\",
        f"  -d '{first}",
        *(f"    {line}" for line in rest[:-1]),
        f"    {rest[-1]}'",
    )


def joined(lines: Iterable[str]) -> str:
    """The lines of ``curl_lines`` as one."""
    return "".join(line.strip().removesuffix("\\") for line in lines)
