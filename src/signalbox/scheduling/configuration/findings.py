"""What is found while a configuration is checked: problems, and notes for what is accepted without effect."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import BaseModel, ValidationError

from signalbox.resources import InvalidResource, Lines, Origin, Problem
from signalbox.resources.explain import dotted, problems_of
from signalbox.scheduling.plugin import ParameterFault

Path = tuple[str | int, ...]


def article(noun: str) -> str:
    """Return a role of plugins with its article, to say that something is one."""
    return f"{'an' if noun[:1] in 'aeio' else 'a'} {noun}"


class InvalidPolicy(InvalidResource):
    """A configuration that cannot be used. ``problems`` holds everything found wrong with it, in order of lines."""


@dataclass
class Findings:
    """Collects problems with their places, so that all of them are told at once."""

    origin: Origin
    lines: Lines | None = None
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def problem(self, path: Path, message: str, fix: str) -> None:
        """Something is wrong at ``path``."""
        self.problems.append(Problem(self._place(path), "", "", dotted(path), message, fix))

    def fault(self, path: Path, error: ParameterFault) -> None:
        """A plugin refuses the parameters at ``path``."""
        self.problem((*path, *error.at), error.message, error.fix)

    def invalid(self, path: Path, error: ValidationError, model: type[BaseModel]) -> None:
        """The mapping at ``path`` is not a ``model``."""
        for found in problems_of(error, model, self.origin, "", "", self._lines_under(path)):
            place = f"{dotted(path)}.{found.field}" if path and found.field else dotted(path) or found.field
            self.problems.append(Problem(found.origin, "", "", place, found.message, found.fix))

    def note(self, path: Path, message: str) -> None:
        """Something at ``path`` is accepted and does less than a reader may think. Repeated notes are told once."""
        told = f"{dotted(path)}: {message}"
        if told not in self.notes:
            self.notes.append(told)

    def raise_any(self) -> None:
        """Raise InvalidPolicy where there are problems."""
        if self.problems:
            raise InvalidPolicy(sorted(self.problems, key=lambda problem: problem.origin.line))

    def _place(self, path: Path) -> Origin:
        return self.origin._replace(line=self.lines(path)) if self.lines else self.origin

    def _lines_under(self, path: Path) -> Lines | None:
        lines = self.lines
        return None if lines is None else lambda deeper: lines((*path, *deeper))
