"""The certificate of a picker's ext_proc port: from its options, and renewed while it runs."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from signalbox.sources import changes
from signalbox.wire import ServerTls, TlsError

log = logging.getLogger("signalbox.epp")


class TlsOptions(Protocol):
    """What a command line says about TLS."""

    @property
    def secure_serving(self) -> bool:
        """Whether to serve over TLS."""

    @property
    def cert_path(self) -> Path | None:
        """The directory with tls.crt and tls.key."""

    @property
    def client_ca_file(self) -> Path | None:
        """The CA that clients' certificates must come from."""


def read_tls(options: TlsOptions) -> ServerTls | None:
    """Return the TLS to serve with; ``None`` for plaintext.

    Raises:
        TlsError: a file is missing or cannot be used.
        ValueError: files are given that plaintext has no use for.
    """
    if options.secure_serving:
        return ServerTls(options.cert_path, options.client_ca_file)
    for flag, path in (("--cert-path", options.cert_path), ("--client-ca-file", options.client_ca_file)):
        if path is not None:
            raise ValueError(f"{flag} {path} is for TLS, which --secure-serving=false turns off: drop one of the two")
    return None


async def keep_renewed(tls: ServerTls) -> None:
    """Follow the files of ``tls`` for ever; files that cannot be used are logged, and the last good ones stay.

    Raises:
        OSError: the system cannot watch them.
    """
    if tls.files:
        await renew_at(tls, changes(tls.files))


async def renew_at(tls: ServerTls, changed: AsyncIterable[None]) -> None:
    """Read the files of ``tls`` again after each item of ``changed``."""
    complaint = ""
    async for _ in changed:
        try:
            renewed = tls.reload()
        except TlsError as error:
            if str(error) != complaint:
                log.error("certificate not renewed, the last good one stays", extra={"problem": str(error)})
            complaint = str(error)
            continue
        if renewed:
            log.info("certificate renewed", extra=describe(tls))
        elif complaint:
            log.info("certificate files are good again", extra=describe(tls))
        complaint = ""


def describe(tls: ServerTls) -> dict[str, object]:
    """Return what a log line says of the certificate in force; warn when it has expired."""
    if tls.expires <= datetime.now(UTC):
        log.warning("certificate has expired", extra={"certificate": tls.origin, "expires": tls.expires.isoformat()})
    return {"certificate": tls.origin, "expires": tls.expires.isoformat()}
