"""The ``signalbox`` command: the only place that wires rooms together.

Each command imports what it needs when it runs, so that ``signalbox lora-syncer`` in a sidecar does not pay for numpy
or protobuf.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from signalbox import __version__
from signalbox.cli.bbr_flags import bbr
from signalbox.cli.epp_flags import epp
from signalbox.cli.explain import explain
from signalbox.cli.go_flags import GoFlagsCommand
from signalbox.cli.printed import lost
from signalbox.cli.replay import replay
from signalbox.cli.status import status

app = typer.Typer(
    name="signalbox",
    help=(
        "An inference gateway for self-hosted LLMs: the Gateway API Inference Extension in Python.\n\n"
        "Start with: signalbox up examples/get-started"
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


def _version(show: bool) -> None:
    if show:
        from signalbox.wire.form import COMPILED

        typer.echo(f"signalbox {__version__}{' (compiled)' if COMPILED else ''}")
        _warn_of_changed_source()
        raise typer.Exit


def _warn_of_changed_source() -> None:
    from signalbox.wire.form import changed_source

    source = changed_source()
    if source is not None:
        said = f"signalbox: this is a compiled copy of what {source} held; that has changed since: run `make compiled`"
        typer.echo(said, err=True)


@app.callback()
def signalbox(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Set up what all commands share: --version, and a word where what runs is not what its source says."""
    _warn_of_changed_source()


@app.command()
def up(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="YAML files or directories of Kubernetes manifests.", show_default=False),
    ] = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Where the first HTTP listener of the Gateway is served.")
    ] = 8080,
    host: Annotated[
        str, typer.Option(help="Address the gateway listens on; 0.0.0.0 for other machines too.")
    ] = "127.0.0.1",
    server: Annotated[
        list[str] | None,
        typer.Option(
            help="Use this real OpenAI-compatible server instead of simulated ones (repeatable).", show_default=False
        ),
    ] = None,
    config_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="EndpointPickerConfig for every picker, in place of what the manifests say; watched.",
            show_default=False,
        ),
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0.01, help="Run the simulated servers this many times faster than real time.")
    ] = 1.0,
    body_limit: Annotated[int, typer.Option(min=1, help="Largest request body in MiB; larger ones get 413.")] = 32,
    state_dir: Annotated[
        Path | None,
        typer.Option(help="Keep state and logs here instead of in a temporary directory.", show_default=False),
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Plain lines even on a terminal.")] = False,
) -> None:
    """Run Kubernetes manifests on this machine: a real Envoy, the endpoint picker, simulated or real model servers.

    Every YAML document under the PATHs is read; saving a file does what kubectl apply does in a cluster. Without PATHS,
    --server URL alone makes a complete gateway for that server. Ctrl-C stops everything.
    """
    from signalbox.gateway.up import UpOptions, run

    options = UpOptions(
        paths=tuple(paths or ()),
        port=port,
        listen_host=host,
        servers=tuple(server or ()),
        config_file=config_file,
        speed=speed,
        body_limit=body_limit * 1024 * 1024,
        state_dir=state_dir,
        plain=plain,
    )
    raise typer.Exit(run(options))


app.command(cls=GoFlagsCommand)(epp)
app.command()(explain)
app.command()(status)
app.command()(replay)
app.command(cls=GoFlagsCommand)(bbr)


@app.command("lora-syncer", context_settings=_PASS_ON, add_help_option=False)
def lora_syncer(context: typer.Context) -> None:
    """Load and unload LoRA adapters as a mounted ConfigMap says (a sidecar of a vLLM server)."""
    from signalbox.adapters import run

    raise typer.Exit(run(context.args))


@app.command(context_settings=_PASS_ON, add_help_option=False)
def modelserver(context: typer.Context) -> None:
    """Run one simulated vLLM server; takes vLLM's own arguments."""
    from signalbox.modelserver import run

    raise typer.Exit(run(context.args))


@app.command()
def validate(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="YAML or JSON files, or directories of them.", show_default=False),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print a JSON Schema of EndpointPickerConfig instead, for editors.")
    ] = False,
) -> None:
    """Check manifests and EndpointPickerConfig files: one problem a line, exit status 1 where there are any.

    Two objects of one name are a problem within one set. A directory with manifests of its own is a set, with all below
    it, as signalbox up reads it; the directories of one without are judged each by itself; files that are named are one
    set together.
    """
    from signalbox.cli.validate import run

    if not paths and not schema:
        raise typer.BadParameter("give at least one PATH, or --schema")
    if paths and schema:
        raise typer.BadParameter(f"--schema checks nothing: leave out {paths[0]}, or --schema")
    raise typer.Exit(run(paths or (), schema=schema))


@app.command()
def convert(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", help="YAML or JSON files, directories of them, or - for standard input."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            help="Write here instead of to standard output: a file that ends in .yaml, or a directory.",
            show_default=False,
        ),
    ] = None,
    only_converted: Annotated[
        bool, typer.Option("--only-converted", help="Leave out documents that need no conversion.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Let --output replace the files that were read, without a copy.")
    ] = False,
) -> None:
    """Turn InferenceModels into objectives and rewrites, and v1alpha2 InferencePools into v1.

    Says on standard error what clients have to send from then on. Exit status 2 where something cannot be converted;
    nothing is written then.
    """
    from signalbox.cli.convert import run

    raise typer.Exit(run(paths, output=output, only_converted=only_converted, force=force))


@app.command()
def crds(
    kind: Annotated[str, typer.Option(help="Only this kind, by any of its names.", show_default=False)] = "",
    api_version: Annotated[
        str, typer.Option("--version", help="Only this version, such as v1alpha2.", show_default=False)
    ] = "",
    group: Annotated[
        str, typer.Option(help="Only this API group; llm-d.ai is printed on this request only.", show_default=False)
    ] = "",
    for_kubernetes: Annotated[
        str,
        typer.Option(
            metavar="RELEASE", help="Suit API servers of this release; before 1.25 without CEL.", show_default=False
        ),
    ] = "",
    without_cel: Annotated[
        bool, typer.Option("--without-cel", help="Say rules in the words of a schema instead of in CEL.")
    ] = False,
) -> None:
    """Print the CustomResourceDefinitions of the inference kinds, for kubectl apply -f -."""
    from signalbox.cli.crds import Selection, Unavailable, knows_cel, render

    try:
        cel = not without_cel and (not for_kubernetes or knows_cel(for_kubernetes))
        typer.echo(render(Selection(kind, api_version, group), cel=cel), nl=False)
    except Unavailable as unavailable:
        typer.echo(unavailable, err=True)
        raise typer.Exit(2) from None


def main() -> None:
    """Entry point of the console script."""
    try:
        try:
            app(prog_name="signalbox")
        finally:
            sys.stdout.flush()  # as the process ends it would be too late to say what came of it
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        status = lost(error)
        if status is None:
            raise
        sys.exit(status)
