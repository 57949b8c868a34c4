"""The compiled form: the modules that every message passes through, as machine code, from the same source.

mypyc, which comes with mypy, turns typed modules into a C extension. Nothing of that is committed and nothing needs it:
the source tree runs as it is, and everything else (tests, `make up`) uses that. Where there is a C compiler,
``python -m compiled`` makes a copy of the package below ``build/compiled`` with the extension beside the modules; with
``PYTHONPATH=build/compiled`` the same command lines run it. :mod:`compiled.hook` makes a wheel of that.

What a module here must keep to, beside the types that ``make check`` asks for:

- no Protocol that is looked at while running, no ``msgspec.Struct``, no pydantic model: their modules stay as they are;
- within one function, a name bound by ``except ... as`` holds exceptions of one class only;
- what a test replaces in a class while running goes unnoticed by compiled callers.
"""

from __future__ import annotations

MODULES = (
    *(
        f"wire/{name}"
        for name in (
            "allowance",
            "connection",
            "control_frames",
            "deadlines",
            "errors",
            "frames",
            "grpc_call",
            "header_assembly",
            "header_blocks",
            "header_rules",
            "messages",
            "outbound",
            "peer_settings",
            "protocol",
            "session",
            "status",
            "stream",
            "stream_table",
            "turns",
        )
    ),
    *(
        f"extproc/{name}"
        for name in ("answer", "bodies", "decoding", "encoding", "exchange", "headers", "phases", "refusals")
    ),
    "payloads/sse",
)
"""The modules that are compiled, below the package, without ``.py``.

The director, scheduling and the pool are not among them: what they spend is numpy's, msgspec's and that of plugins,
which stay as they are; compiling them took 2 % off a decision.
"""
