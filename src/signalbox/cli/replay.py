"""``signalbox replay``: its arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_TRAFFIC, _SERVERS, _METRICS, _OUTPUT = "Traffic", "Servers", "How metrics reach the picker", "Output"


def replay(
    trace: Annotated[
        Path,
        typer.Argument(
            help="Mooncake JSONL, Azure CSV, a CSV with a header, or a decision log; packed with gzip or not."
        ),
    ],
    config: Annotated[
        list[Path] | None,
        typer.Option(
            "--config",
            help="An EndpointPickerConfig to replay (repeatable). Without any, nor --policy: the filter tree 'guide'.",
        ),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            "--policy", help="A baseline of the lab by its name (repeatable); a name it does not know lists them."
        ),
    ] = None,
    pool: Annotated[int, typer.Option(min=1, max=1024, help="How many servers.", rich_help_panel=_SERVERS)] = 8,
    engine: Annotated[
        list[str] | None,
        typer.Option(
            "--engine",
            help="Model and GPU of the servers, such as llama-8b-h100 (the default). Given several times, servers take"
            " them in turn.",
            rich_help_panel=_SERVERS,
        ),
    ] = None,
    max_loras: Annotated[
        int,
        typer.Option(
            min=0, max=1024, help="LoRA slots of a server; 4 where adapters are asked for.", rich_help_panel=_SERVERS
        ),
    ] = 0,
    speed: Annotated[
        float, typer.Option(min=0.001, max=1e6, help="Replay arrivals so many times as fast.", rich_help_panel=_TRAFFIC)
    ] = 1.0,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Replay only so many requests.", rich_help_panel=_TRAFFIC)
    ] = None,
    adapters: Annotated[
        int,
        typer.Option(
            min=0, max=100_000, help="Spread requests over so many LoRA adapters (Zipf).", rich_help_panel=_TRAFFIC
        ),
    ] = 0,
    sheddable: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Give this share of the requests priority -1.", rich_help_panel=_TRAFFIC),
    ] = 0.0,
    unstreamed: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, help="Let this share of the answers come in one piece.", rich_help_panel=_TRAFFIC
        ),
    ] = 0.0,
    as_recorded: Annotated[
        bool,
        typer.Option(
            "--as-recorded",
            help="Keep requests of one moment together; else they are spread over the trace's step.",
            rich_help_panel=_TRAFFIC,
        ),
    ] = False,
    block_tokens: Annotated[
        int, typer.Option(min=1, max=65535, help="Tokens to a block of hash_ids.", rich_help_panel=_TRAFFIC)
    ] = 512,
    slo: Annotated[
        str, typer.Option(help="Seconds to the first token, and for each after it.", rich_help_panel=_OUTPUT)
    ] = "ttft=2,tpot=0.05",
    ladder: Annotated[
        str,
        typer.Option(
            help="Speeds, such as 0.5,1,2,4: find the highest rate each policy sustains.", rich_help_panel=_OUTPUT
        ),
    ] = "",
    rounds: Annotated[
        int,
        typer.Option(
            min=0, max=10, help="How often the ladder halves the gap where a policy breaks.", rich_help_panel=_OUTPUT
        ),
    ] = 3,
    out: Annotated[
        Path | None,
        typer.Option(help="Write replay.json, requests.csv and report.html here.", rich_help_panel=_OUTPUT),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="For random choices; the same gives the same results.")] = 0,
    scrape_interval: Annotated[
        float, typer.Option(min=0.001, help="Seconds between two scrapes.", rich_help_panel=_METRICS)
    ] = 0.05,
    scrape_delay: Annotated[
        float, typer.Option(min=0.0, help="Seconds until the picker has the answer.", rich_help_panel=_METRICS)
    ] = 0.005,
    scrape_jitter: Annotated[float, typer.Option(min=0.0, help="Up to so many more.", rich_help_panel=_METRICS)] = 0.0,
    scrape_loss: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of scrapes that fail.", rich_help_panel=_METRICS)
    ] = 0.0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Replays at a time; by default one for each core.", show_default=False)
    ] = None,
) -> None:
    """Rehearse routing policies on recorded traffic, in virtual time.

    Every policy decides with the picker's own code for the same requests on the same simulated servers. An hour of
    traffic takes seconds:

    signalbox replay trace.jsonl.gz --config now.yaml --config next.yaml --out report

    prints both side by side, with 95 % intervals, and writes a page with plots. A ladder asks how much load each one
    bears:

    signalbox replay trace.jsonl.gz --config next.yaml --ladder 0.5,1,2,4 --slo ttft=2,tpot=0.05

    Ctrl-C prints what is done.
    """
    from signalbox.cli.replaying import Wishes, run

    raise typer.Exit(
        run(
            Wishes(
                trace=trace,
                configs=tuple(config or ()),
                policies=tuple(policy or ()),
                pool=pool,
                engines=tuple(engine or ("llama-8b-h100",)),
                max_loras=max_loras,
                speed=speed,
                limit=limit,
                adapters=adapters,
                sheddable=sheddable,
                unstreamed=unstreamed,
                as_recorded=as_recorded,
                block_tokens=block_tokens,
                slo=slo,
                ladder=ladder,
                rounds=rounds,
                out=out,
                seed=seed,
                scrape=(scrape_interval, scrape_delay, scrape_jitter, scrape_loss),
                workers=workers,
            )
        )
    )
