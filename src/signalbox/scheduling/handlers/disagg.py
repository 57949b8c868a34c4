"""``disagg-profile-handler``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import model_validator

from signalbox.pool import Rows
from signalbox.resources.strict import fault
from signalbox.scheduling.faults import Faults
from signalbox.scheduling.framework import Cycle, Decision, Ranking
from signalbox.scheduling.plugin import DeciderPlugin, HandlerPlugin, ParameterFault, Parameters, Plugin
from signalbox.scheduling.profile import Profile

PREFILLER_HEADER = "x-prefiller-host-port"
ENCODER_HEADER = "x-encoder-hosts-ports"
"""Read by the sidecar of the decode server. The gateway removes what clients send under these names."""


class StageProfiles(Parameters):
    """The profile of each stage."""

    decode: str = "decode"
    prefill: str = "prefill"
    encode: str = "encode"


class StageDeciders(Parameters):
    """The decider of each stage that need not run; a stage without one does not run."""

    prefill: str = ""
    encode: str = ""


class DisaggParameters(Parameters):
    """Parameters of disagg-profile-handler."""

    profiles: StageProfiles = StageProfiles()
    """Names of the profiles of the stages decode, prefill and encode."""
    deciders: StageDeciders = StageDeciders()
    """Names of the plugins that decide whether prefill and encode run."""
    stage_order: Literal["decode-first", "prefill-first"] = "decode-first"
    """Which stage chooses first."""

    @model_validator(mode="after")
    def _prefill_first_always_prefills(self) -> DisaggParameters:
        if self.stage_order == "prefill-first" and self.deciders.prefill:
            message = "is not allowed with stageOrder prefill-first, which always prefills"
            raise fault(message, "remove it or use decode-first", "deciders", "prefill")
        return self


class DisaggProfileHandler(HandlerPlugin[DisaggParameters]):
    """Choose a server for each stage of disaggregated serving.

    decode-first: run the decode profile; then encode and prefill, each if it has a decider and that says yes.
    prefill-first: run prefill where there is such a profile, then encode if its decider says yes, then decode. The
    decode choice is the destination; the prefill choice goes into the header ``x-prefiller-host-port``, the encode
    choices as a comma list into ``x-encoder-hosts-ports`` (one, unless its picker gives maxNumOfEndpoints). A prefill
    or encode stage that finds nobody, or whose decider fails, is left out; a decode stage that finds nobody ends the
    request. Who chooses first is who the topology plugins of later stages stay near to. Source: disagg-profile-handler
    of llm-d.
    """

    type = "disagg-profile-handler"
    use = "Prefill and decode, and perhaps encode, on servers of their own."

    def __init__(self, parameters: DisaggParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._prefill: DeciderPlugin[Any] | None = None
        self._encode: DeciderPlugin[Any] | None = None

    def connect(self, plugins: Mapping[str, Plugin[Any]]) -> None:
        """Look up the deciders."""
        self._prefill = _decider(plugins, self.parameters.deciders.prefill, "prefill")
        self._encode = _decider(plugins, self.parameters.deciders.encode, "encode")

    def primary(self, profiles: Mapping[str, Profile]) -> str:
        """Return the decode profile."""
        return self.parameters.profiles.decode

    def check(self, profiles: Mapping[str, Profile]) -> None:
        """Require the profiles of the stages that can run."""
        names = self.parameters.profiles
        needed = [("decode", names.decode)]
        if self._prefill is not None:
            needed.append(("prefill", names.prefill))
        if self._encode is not None:
            needed.append(("encode", names.encode))
        for stage, profile in needed:
            if profile not in profiles:
                message = f"names {profile!r}, which is not a profile"
                raise ParameterFault(message, f"add a profile {profile!r} to schedulingProfiles", "profiles", stage)

    def schedule(self, cycle: Cycle, rows: Rows, profiles: Mapping[str, Profile]) -> Decision | None:
        """Run the stages in order."""
        names = self.parameters.profiles
        faults = profiles[names.decode].faults
        if self.parameters.stage_order == "prefill-first":
            prefill = _run(profiles.get(names.prefill), cycle, rows)
            if prefill is not None:
                cycle.peer = prefill.rows[0]
            encodes = _says_yes(self._encode, cycle, None, faults)
            encode = _run(profiles.get(names.encode), cycle, rows) if encodes else None
            decode = _run(profiles.get(names.decode), cycle, rows)
        else:
            prefill = encode = None
            decode = _run(profiles.get(names.decode), cycle, rows)
            if decode is not None:
                row = cycle.peer = decode.rows[0]
                if _says_yes(self._encode, cycle, row, faults):
                    encode = _run(profiles.get(names.encode), cycle, rows)
                if _says_yes(self._prefill, cycle, row, faults):
                    prefill = _run(profiles.get(names.prefill), cycle, rows)
        if decode is None:
            return None
        headers: dict[str, str] = {}
        stages: dict[str, tuple[int, ...]] = {}
        scores: tuple[Ranking, ...] = decode.scores
        if prefill is not None:
            headers[PREFILLER_HEADER] = cycle.endpoints[prefill.rows[0]].address
            stages[names.prefill] = prefill.rows[:1]
            scores += prefill.scores
        if encode is not None:
            count = None if profiles[names.encode].counted else 1
            stages[names.encode] = encode.rows[:count]
            headers[ENCODER_HEADER] = ",".join([cycle.endpoints[row].address for row in encode.rows[:count]])
            scores += encode.scores
        promptless = frozenset((names.encode,))
        return Decision(
            decode.rows,
            tuple(cycle.steps),
            decode.profile,
            scores,
            headers=headers,
            stages=stages,
            promptless=promptless,
        )


def _says_yes(decider: DeciderPlugin[Any] | None, cycle: Cycle, row: int | None, faults: Faults) -> bool:
    if decider is None:
        return False
    try:
        return bool(decider.decide(cycle, row))
    except Exception as error:
        faults.note(decider.name, error)
        return False


def _run(profile: Profile | None, cycle: Cycle, rows: Rows) -> Decision | None:
    return None if profile is None else profile.schedule(cycle, rows)


def _decider(plugins: Mapping[str, Plugin[Any]], name: str, stage: str) -> DeciderPlugin[Any] | None:
    if not name:
        return None
    plugin = plugins.get(name)
    if isinstance(plugin, DeciderPlugin):
        return plugin
    found = "which is not in plugins" if plugin is None else f"which is a {plugin.role}"
    deciders = [known for known, plugin in plugins.items() if isinstance(plugin, DeciderPlugin)]
    fix = (
        f"use one of {', '.join(deciders)}" if deciders else "add a decider, like always-disagg-pd-decider, to plugins"
    )
    raise ParameterFault(f"names {name!r}, {found}", fix, "deciders", stage)
