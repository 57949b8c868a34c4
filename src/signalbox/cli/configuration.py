"""The picker's EndpointPickerConfig: read at the start, followed while it runs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from signalbox.cli.thresholds import read_thresholds
from signalbox.director import Director, Rules, guide_rules, policy_rules
from signalbox.pool import Pool
from signalbox.resources import Origin, Problem
from signalbox.scheduling import InvalidPolicy, Policy, load_policy
from signalbox.sources import changes

log = logging.getLogger("signalbox.configuration")


class ConfigurationFile:
    """A configuration in a file. A changed file is checked whole and then takes the old one's place between two
    requests; a bad one is reported and changes nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text: str | None = None
        self.refused = ""
        """What is wrong with the file as it is now, one problem a line; empty where it is in force."""

    def load(self) -> Policy | None:
        """Read the file; ``None`` where it has not changed since.

        Raises:
            OSError: it cannot be read.
            UnicodeDecodeError: it is not UTF-8.
            InvalidPolicy: it is no valid configuration.
        """
        text = self._path.read_text()
        if text == self._text:
            return None
        if not text.strip():
            place = Origin(str(self._path), 0, 0)
            fix = "write an EndpointPickerConfig, or run without --config-file"
            raise InvalidPolicy([Problem(place, "", "", "", "is empty", fix)])
        policy = load_policy(text, name=str(self._path))
        self._text = text
        return policy

    async def follow(self, director: Director) -> None:
        """Replace the director's rules whenever the file changes, for ever."""
        async for _ in changes([self._path]):
            try:
                policy = self.load()
            except (OSError, UnicodeDecodeError, InvalidPolicy) as error:
                problems = describe(error)
                if problems != self.refused:
                    log.error("configuration refused; the last good one stays in force", extra={"problems": problems})
                self.refused = problems
                continue
            self.refused = ""
            if policy is not None:
                director.rules = policy_rules(policy, director.pool, director.rules)
                announce(policy)


def starting_rules(policy: Policy | None, pool: Pool, environment: Mapping[str, str]) -> Rules:
    """Return the rules to start with: the configuration's, or the guide's tree with its thresholds.

    Raises:
        ValueError: a threshold in the environment makes no sense.
    """
    if policy is None:
        return guide_rules(read_thresholds(environment))
    announce(policy)
    return policy_rules(policy, pool)


def announce(policy: Policy) -> None:
    """Log what is in force, and what a reader of the file would not expect."""
    log.info("configuration in force", extra={"plugins": [plugin.name for plugin in policy.plugins]})
    for note in policy.notes:
        log.warning("configuration note", extra={"note": note})


def describe(error: Exception) -> str:
    """Return what is wrong, one problem a line."""
    if isinstance(error, InvalidPolicy):
        return "\n".join(str(problem) for problem in error.problems)
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return str(error)
