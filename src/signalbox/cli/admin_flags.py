"""The flags of every command that asks a running picker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PickerUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="A picker's metrics port; by default the picker that runs here, else http://127.0.0.1:9090.",
        show_default=False,
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Bearer token for pickers that ask for one, as in a cluster.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="What the picker says, as JSON.")]
