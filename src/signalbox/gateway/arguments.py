"""Command lines of Deployments, read by the programs' own parsers before anything is started with them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import replace

from signalbox.gateway.containers import syncer_arguments
from signalbox.gateway.pods import server_containers, syncer_containers
from signalbox.resources import Deployment, Key, Origin, Problem, Resource
from signalbox.sources import Manifests

Complaint = Callable[[tuple[str, ...]], str]
"""What a program says to its arguments; empty if it takes them."""


class ArgumentCheck:
    """Holds back Deployments whose processes would refuse their arguments.

    The last good Deployment of the same name stays in its place, as the last good content of a file does.
    """

    def __init__(self) -> None:
        self._good: dict[Key, Deployment] = {}
        self._checked: dict[tuple[Complaint, tuple[str, ...]], str] = {}

    def check(self, manifests: Manifests) -> Manifests:
        """Return the manifests with such Deployments replaced or left out, and reported as problems."""
        good: dict[Key, Deployment] = {}
        resources: list[Resource] = []
        problems: list[Problem] = []
        for resource in manifests.resources:
            chosen: Resource | None = resource
            if isinstance(resource, Deployment):
                found = self._problems(resource)
                problems += found
                chosen = self._good.get(resource.key) if found else resource
                if isinstance(chosen, Deployment):
                    good[resource.key] = chosen
            if chosen is not None:
                resources.append(chosen)
        self._good = good
        return replace(manifests, resources=tuple(resources), problems=(*manifests.problems, *problems))

    def _problems(self, deployment: Deployment) -> list[Problem]:
        command_lines = [
            *((place, raw, arguments, _server_says) for place, _, raw, arguments in server_containers(deployment)[:1]),
            *(
                (place, raw, syncer_arguments(container), _syncer_says)
                for place, container, raw in syncer_containers(deployment)
            ),
        ]
        problems = []
        for place, raw, arguments, says in command_lines:
            complaint = self._ask(says, arguments)
            if complaint:
                message, _, fix = complaint.partition("; ")
                flag = message.partition(":")[0]
                fix = fix or f"correct {flag if flag.startswith('-') else 'it'}"
                field = f"{place}.{'args' if raw.args else 'command'}"
                origin = deployment.origin or Origin("")
                problems.append(Problem(origin, "Deployment", deployment.metadata.name, field, message, fix))
        return problems

    def _ask(self, says: Complaint, arguments: tuple[str, ...]) -> str:
        known = self._checked.get((says, arguments))
        if known is None:
            known = self._checked[says, arguments] = says(arguments)
        return known


def _server_says(arguments: tuple[str, ...]) -> str:
    from signalbox.modelserver.options import BadArguments, parse_options  # only where there is something to read

    return _complaint(parse_options, arguments, BadArguments)


def _syncer_says(arguments: tuple[str, ...]) -> str:
    from signalbox.adapters import BadArguments, parse_arguments

    return _complaint(parse_arguments, arguments, BadArguments)


def _complaint(parse: Callable[[tuple[str, ...]], object], arguments: tuple[str, ...], refusal: type[Exception]) -> str:
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            parse(arguments)
    except refusal as error:
        return str(error)
    except SystemExit:
        return "--help: prints a text and ends; remove it"
    return ""
