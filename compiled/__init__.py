"""The compiled form: the modules that every message passes through, as machine code, from the same source.

mypyc, which comes with mypy, turns typed modules into a C extension. Nothing of that is committed and nothing needs it:
the source tree runs as it is, and everything else (tests, `make up`) uses that. Where there is a C compiler,
``python -m compiled`` makes a copy of the package below ``build/compiled`` with the extension beside the modules; with
``PYTHONPATH=build/compiled`` the same command lines run it. :mod:`compiled.hook` makes a wheel of that.

What a module here must keep to, beside the types that ``make check`` asks for:

- no Protocol that is looked at while running, no ``msgspec.Struct``, no pydantic model: their modules stay as they are;
- within one function, a name bound by ``except ... as`` holds exceptions of one class only;
- what a test replaces in a class while running goes unnoticed by compiled callers;
- no ``functools.cached_property``, which caches nothing there;
- a fixed tuple that is returned is another object each time: what others keep, or compare by identity, is a class;
- what is typed ``int`` takes no number of numpy's: ``tolist`` first;
- whatever is derived from a class here is here too, unless `signalbox.native` marks that class as open to others.
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
            "keepalive",
            "messages",
            "octets",
            "outbound",
            "peer_settings",
            "protocol",
            "session",
            "status",
            "stream",
            "stream_table",
            "turns",
            "turns_standing",
            "write_buffer",
        )
    ),
    *(
        f"extproc/{name}"
        for name in ("answer", "bodies", "decoding", "encoding", "exchange", "headers", "phases", "refusals", "terms")
    ),
    "admission/gate",
    *(f"director/{name}" for name in ("director", "named", "rules", "ticket", "tickets", "turns")),
    *(f"payloads/{name}" for name in ("answers", "conversation", "members", "reports", "requests", "sse")),
    *(
        f"pool/{name}"
        for name in (
            "accounts",
            "catalogue",
            "charges",
            "columns",
            "endpoints",
            "few",
            "listings",
            "pool",
            "resolution",
            "rotation",
            "split",
            "unseen",
        )
    ),
    *(
        f"scheduling/{name}"
        for name in (
            "cycle",
            "filters/decision_tree",
            "filters/least",
            "filters/least_kv_cache",
            "filters/least_queuing",
            "filters/lora_affinity",
            "filters/low_queue",
            "pickers/best",
            "prefix/holders",
            "prefix/precise_sets",
            "prefix/recent",
            "prefix/residence",
            "prefix/sharded",
            "profile",
            "runs",
            "scorers/spread",
        )
    ),
    *(f"observability/{name}" for name in ("histogram", "metrics", "series")),
)
"""The modules that are compiled, below the package, without ``.py``.

Of scheduling those are among them that work on lists, and of the pool what those read or a request writes: see
`signalbox.pool.few`. `pool/reported` cannot be, whose figures would be worked out anew each time.
"""
