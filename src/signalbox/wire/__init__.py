"""HTTP/2 and gRPC, server side: a sans-IO state machine (`HTTP2Connection`), gRPC calls above it, and an asyncio shell.

`GrpcServer` listens and hands each call to the `Accept` of its route, which returns the `Receiver` of what the client
sends; `Call` is how it answers. `HealthService` is the one service that lives here. Nothing in this room knows what the
calls are about.
"""

from signalbox.wire.calls import Accept, Call, Receiver, Routes
from signalbox.wire.certificates import TlsError
from signalbox.wire.connection import HTTP2Connection
from signalbox.wire.errors import ConnectionFault, ErrorCode
from signalbox.wire.health import HealthService, ServingStatus, health_routes
from signalbox.wire.limits import Limits
from signalbox.wire.server import GrpcServer
from signalbox.wire.status import Status
from signalbox.wire.stream import Exchange, Stream
from signalbox.wire.tls import ServerTls

__all__ = [
    "Accept",
    "Call",
    "ConnectionFault",
    "ErrorCode",
    "Exchange",
    "GrpcServer",
    "HTTP2Connection",
    "HealthService",
    "Limits",
    "Receiver",
    "Routes",
    "ServerTls",
    "ServingStatus",
    "Status",
    "Stream",
    "TlsError",
    "health_routes",
]
