"""``single-profile-handler``."""

from __future__ import annotations

from collections.abc import Mapping

from signalbox.pool import Rows
from signalbox.scheduling.framework import Cycle, Decision
from signalbox.scheduling.plugin import HandlerPlugin, ParameterFault, Parameters
from signalbox.scheduling.profile import Profile


class SingleProfileHandler(HandlerPlugin[Parameters]):
    """Run the one profile there is.

    Refuses a configuration with several profiles. Source: single-profile-handler of the Gateway API Inference Extension
    and llm-d.
    """

    type = "single-profile-handler"
    use = "One profile for all requests; added where there is one profile and no handler."

    def check(self, profiles: Mapping[str, Profile]) -> None:
        """Refuse several profiles."""
        if len(profiles) > 1:
            message = f"runs one profile, and there are {len(profiles)}: {', '.join(profiles)}"
            raise ParameterFault(message, "keep one, or use header-profile-handler or disagg-profile-handler")

    def schedule(self, cycle: Cycle, rows: Rows, profiles: Mapping[str, Profile]) -> Decision | None:
        """Run the profile."""
        for profile in profiles.values():
            return profile.schedule(cycle, rows)
        return None
