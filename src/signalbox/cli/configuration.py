"""The picker's EndpointPickerConfig: read at the start, followed while it runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from signalbox.cli.thresholds import read_thresholds
from signalbox.director import Director, Rules, guide_rules, policy_rules
from signalbox.pool import Pool
from signalbox.resources import Origin, Problem, unexpected
from signalbox.scheduling import InvalidPolicy, Policy, load_policy
from signalbox.scheduling.saturation import UtilizationDetector
from signalbox.scheduling.saturation.utilization import STALE_INTERVALS
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
            InvalidPolicy: it cannot be read, is not UTF-8 or no valid configuration.
        """
        text = self._read()
        if text == self._text:
            return None
        if not text.strip():
            raise self._useless("is empty", "write an EndpointPickerConfig, or run without --config-file")
        policy = load_policy(text, name=str(self._path))
        self._text = text
        return policy

    def _read(self) -> str:
        try:
            data = self._path.read_bytes()
        except OSError as error:
            fix = "put it back, or give another with --config-file"
            raise self._useless(f"cannot be read: {error.strerror or error}", fix) from None
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            message = f"is not UTF-8 text: byte {data[error.start]:#04x} at offset {error.start}"
            line = data[: error.start].count(b"\n") + 1
            raise self._useless(message, "save it as UTF-8", line) from None

    def _useless(self, message: str, fix: str, line: int = 0) -> InvalidPolicy:
        return InvalidPolicy([Problem(Origin(str(self._path), 0, line), "", "", "", message, fix)])

    async def follow(self, director: Director, changed: Callable[[], None] = lambda: None) -> None:
        """Replace the director's rules whenever the file changes, and say so, for ever."""
        async for _ in changes([self._path]):
            try:
                policy = self.load()
                if policy is not None:
                    director.rules = policy_rules(policy, director.pool, director.rules)
            except InvalidPolicy as error:
                self._refuse(describe(error))
                continue
            except Exception as error:  # of our own making, or of a plugin's: requests go on by the rules there are
                self._text = None
                self._refuse(str(unexpected(Origin(str(self._path)), error)), error)
                continue
            self.refused = ""
            if policy is not None:
                announce(policy, director.pool)
                changed()

    def _refuse(self, problems: str, fault: Exception | None = None) -> None:
        if problems != self.refused:
            message = "configuration refused; the last good one stays in force"
            log.error(message, extra={"problems": problems}, exc_info=fault)
        self.refused = problems


def starting_rules(policy: Policy | None, pool: Pool, environment: Mapping[str, str]) -> Rules:
    """Return the rules to start with: the configuration's, or the guide's tree with its thresholds.

    Raises:
        ValueError: a threshold in the environment makes no sense.
    """
    if policy is None:
        return guide_rules(read_thresholds(environment))
    announce(policy, pool)
    return policy_rules(policy, pool)


def announce(policy: Policy, pool: Pool) -> None:
    """Log what is in force, and what a reader of the file would not expect."""
    log.info("configuration in force", extra={"plugins": [plugin.name for plugin in policy.plugins]})
    for note in (*policy.notes, *staleness_notes(policy, pool.columns.scrape_interval)):
        log.warning("configuration note", extra={"note": note})


def staleness_notes(policy: Policy, interval: float) -> list[str]:
    """Return a note for each detector that calls metrics stale before the next ones can come, where an endpoint is
    scraped every ``interval`` seconds."""
    return [
        f"{plugin.name}: metricsStalenessThreshold {plugin.parameters.metrics_staleness_threshold:g} s is below the"
        f" {interval:g} s between two scrapes: metrics count as stale after {STALE_INTERVALS * interval:g} s"
        for plugin in policy.plugins
        if isinstance(plugin, UtilizationDetector) and plugin.parameters.metrics_staleness_threshold < interval
    ]


def describe(error: InvalidPolicy) -> str:
    """Return what is wrong, one problem a line."""
    return "\n".join(str(problem) for problem in error.problems)
