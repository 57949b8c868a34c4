"""The server as a process: arguments in, exit code out."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence

from signalbox.modelserver.kv_events import CannotPublish
from signalbox.modelserver.options import BadArguments, ServerOptions, parse_options
from signalbox.modelserver.server import ModelServer

# Longer than the probe period of one second that a gateway needs to see /health turn 503.
_QUIET_SECONDS = 1.5
_log = logging.getLogger("signalbox.modelserver")


def run(argv: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT. Exit codes: 0 stopped, 1 cannot listen, 2 bad arguments."""
    try:
        options = parse_options(argv)
    except BadArguments as error:
        print(f"signalbox modelserver: error: {error}", file=sys.stderr)
        return 2
    except SystemExit:  # --help has been printed
        return 0
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        import uvloop
    except ImportError:  # not available on Windows
        return asyncio.run(_serve(options))
    return uvloop.run(_serve(options))


async def _serve(options: ServerOptions) -> int:
    allowed = os.environ.get("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "0").strip().lower() in ("1", "true")
    server = ModelServer(options, runtime_lora=allowed)
    stop, stop_now = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (stop_now if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    try:
        port = await server.start()
    except OSError as error:
        where = f"{options.host}:{options.port}"
        why = os.strerror(error.errno) if error.errno else str(error)
        said = str(error) if isinstance(error, CannotPublish) else f"cannot listen on {where}: {why}"
        print(f"signalbox modelserver: error: {said}", file=sys.stderr)
        await server.close()
        return 1
    if options.not_simulated:
        _log.info("accepted, not simulated: %s", " ".join(options.not_simulated))
    _log.info("%s listening on http://%s:%d", options.served_names[0], options.host, port)
    await stop.wait()
    _log.info("draining for up to %g s", options.drain_seconds)
    drain = asyncio.ensure_future(server.drain(min(_QUIET_SECONDS, options.drain_seconds), options.drain_seconds))
    hurry = asyncio.ensure_future(stop_now.wait())
    await asyncio.wait((drain, hurry), return_when=asyncio.FIRST_COMPLETED)
    for task in (drain, hurry):
        task.cancel()
    await server.close()
    return 0
