"""A simulated vLLM server: vLLM's arguments, endpoints, error texts and metrics, with ``engine`` on the real clock
where the GPU would be. ``run`` is the whole process; ``ModelServer`` is the same inside a caller's event loop."""

from signalbox.modelserver.options import BadArguments, ServerOptions, parse_options
from signalbox.modelserver.process import run
from signalbox.modelserver.server import ModelServer

__all__ = ["BadArguments", "ModelServer", "ServerOptions", "parse_options", "run"]
