"""The pods as a table that fits the terminal, and the command to try, which no terminal may break."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from signalbox.gateway.figures import Figures
from signalbox.gateway.members import Member, Phase, counted

SHORTEST_NAME = 12
"""Characters of a pod's name that are always shown: the end of it tells pods apart."""

_STYLES = {
    Phase.READY: "green",
    Phase.DRAINING: "dim",
    Phase.WAITING: "yellow",
    Phase.STARTING: "yellow",
    Phase.NOT_READY: "red",
    Phase.RESTARTING: "red",
}


@dataclass(frozen=True, slots=True)
class PodTable:
    """One row for each pod. ``figures`` are by ``namespace/name``.

    Where the terminal is too narrow for all columns, adapters and restarts follow below it, once for all pods that
    have the same, and long names lose their middle.
    """

    members: Sequence[Member]
    figures: Mapping[str, Figures]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it as wide as ``options`` allow."""
        wide = self._table()
        if Measurement.get(console, options.update(width=1000), wide).maximum <= options.max_width:
            yield wide
            return
        longest = max(len(member.name) for member in self.members)
        needed = Measurement.get(console, options.update(width=1000), self._table(longest)).maximum
        name_width = max(SHORTEST_NAME, longest - max(0, needed - options.max_width))
        yield self._table(name_width)
        restarts = [counted(member.restarts, "restart") if member.restarts else "" for member in self.members]
        adapters = [", ".join(self._figures_of(member).adapters or ()) for member in self.members]
        for what, values in ("", restarts), ("adapters ", adapters):
            yield from self._below(what, values, name_width)

    def _table(self, name_width: int | None = None) -> Table:
        """The table with all columns, or with those that are always there and names of at most ``name_width``."""
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
        for column in ("pod", "address", "state"):
            table.add_column(column, no_wrap=True)
        for column in ("waiting", "running", "KV use", "req/s"):
            table.add_column(column, justify="right", no_wrap=True)
        if name_width is None:
            table.add_column("adapters", no_wrap=True)
        for member in self.members:
            state = Text(member.phase, _STYLES[member.phase])
            if member.restarts and name_width is None:
                state.append(f" ({counted(member.restarts, 'restart')})", "dim")
            known = self._figures_of(member)
            last = (", ".join(known.adapters or ()),) if name_width is None else ()
            table.add_row(
                shortened(member.name, name_width or len(member.name)), member.address, state, *_numbers(known), *last
            )
        return table

    def _below(self, what: str, values: Sequence[str], name_width: int) -> RenderResult:
        """One line for each value: the pods that have it, unless all do."""
        having: dict[str, list[str]] = {}
        for member, value in zip(self.members, values, strict=True):
            having.setdefault(value, []).append(shortened(member.name, name_width))
        for value, names in having.items():
            if value:
                yield Text(f"{what}{'of all pods' if len(having) == 1 else ', '.join(names)}: {value}")

    def _figures_of(self, member: Member) -> Figures:
        return self.figures.get(f"{member.namespace}/{member.name}") or Figures()


@dataclass(frozen=True, slots=True)
class Command:
    """A command in several lines, or where they do not fit the terminal, none: half a command is worse than none."""

    lines: Sequence[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it so that copying it from the terminal gives the same command."""
        if max(map(len, self.lines)) <= options.max_width:
            for line in self.lines:
                yield Text(line, "cyan", no_wrap=True)
        else:
            yield Text("a command to try is in the line `ready` above", "dim")


def shortened(name: str, width: int) -> str:
    """A name in at most ``width`` characters: ``vllm-llama3-8b-…-3f2a1c-0``."""
    if len(name) <= width:
        return name
    tail = (width - 1) // 2
    return f"{name[: width - 1 - tail]}…{name[len(name) - tail :]}"


def _numbers(figures: Figures) -> tuple[str, ...]:
    return (
        _number(figures.waiting),
        _number(figures.running),
        "-" if figures.kv_usage is None else f"{figures.kv_usage:.0%}",
        _number(figures.rate, 1),
    )


def _number(value: float | None, decimals: int = 0) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"
