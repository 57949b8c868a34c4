"""Flags as the reference's manifests write them, and a ``--help`` in sections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperOption

from signalbox.cli.reference_flags import translate

NOTES = "signalbox.notes"
"""In a command's ``meta``: what to tell the user about flags that were accepted and have no effect."""

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


class GoFlagsCommand(TyperCommand):
    """A command that takes flags as the reference's manifests write them: ``-poolName``, ``--name=false``.

    An option's ``rich_help_panel`` is the section of ``--help`` it is listed in.
    """

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Turn the reference's flags into ours and valued switches into plain ones, then parse as usual.

        Raises:
            typer.BadParameter: a value that Go would not take for a switch, or that asks for what is not done here.
        """
        flags = {
            name: not param.is_flag
            for param in self.params
            if isinstance(param, TyperOption)
            for name in (*param.opts, *param.secondary_opts)
        }
        translated = translate(args, flags)
        args = translated.args
        ctx.meta[NOTES] = translated.notes
        switches = {
            param.opts[0]: param.secondary_opts[0]
            for param in self.params
            if isinstance(param, TyperOption) and param.is_flag and param.secondary_opts
        }
        return super().parse_args(ctx, plain_switches(args, switches))

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Write the options, those of a panel under its name."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                panel = param.rich_help_panel if isinstance(param, TyperOption) else None
                sections.setdefault(panel or "Options", []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def plain_switches(args: Sequence[str], switches: dict[str, str]) -> list[str]:
    """Return ``args`` with ``--name=true`` as ``--name`` and ``--name=false`` as its opposite in ``switches``.

    Raises:
        typer.BadParameter: another value.
    """
    plain = []
    for arg in args:
        name, equals, value = arg.partition("=")
        if not equals or name not in switches:
            plain.append(arg)
        elif value in _TRUE:
            plain.append(name)
        elif value in _FALSE:
            plain.append(switches[name])
        else:
            raise typer.BadParameter(f"{value!r} is neither true nor false", param_hint=name)
    return plain
