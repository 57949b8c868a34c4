"""``header-profile-handler``."""

from __future__ import annotations

from collections.abc import Mapping

from signalbox.pool import Rows
from signalbox.scheduling.framework import Cycle, Decision, Step
from signalbox.scheduling.headers import HeaderName
from signalbox.scheduling.plugin import HandlerPlugin, ParameterFault, Parameters
from signalbox.scheduling.profile import Profile


class HeaderProfileParameters(Parameters):
    """Parameters of header-profile-handler."""

    header_name: HeaderName = "EPP-Profile"
    """The request header that names a profile."""
    default_profile: str = "decode"
    """The profile of requests without the header."""


class HeaderProfileHandler(HandlerPlugin[HeaderProfileParameters]):
    """Run the profile that a request header names.

    A header that names no profile leaves the request without an endpoint; the decision's last step says so. Source:
    header-profile-handler of llm-d.
    """

    type = "header-profile-handler"
    use = "Behind a coordinator that sends each stage of a request through the gateway by itself."

    def __init__(self, parameters: HeaderProfileParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._header = self.parameters.header_name.lower()

    def primary(self, profiles: Mapping[str, Profile]) -> str:
        """Return the default profile."""
        return self.parameters.default_profile

    def check(self, profiles: Mapping[str, Profile]) -> None:
        """Require the default profile."""
        if self.parameters.default_profile not in profiles:
            message = f"names {self.parameters.default_profile!r}, which is not a profile"
            raise ParameterFault(message, f"use one of {', '.join(profiles)}", "defaultProfile")

    def schedule(self, cycle: Cycle, rows: Rows, profiles: Mapping[str, Profile]) -> Decision | None:
        """Run the named profile, or the default one."""
        wanted = cycle.headers.get(self._header) or self.parameters.default_profile
        profile = profiles.get(wanted)
        if profile is None:
            cycle.steps.append(Step(f"{self.name}: no profile {wanted[:64]!r}", len(rows), 0))
            return None
        return profile.schedule(cycle, rows)
