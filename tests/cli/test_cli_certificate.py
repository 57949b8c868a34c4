"""The picker's certificate: what the flags allow, and how it is renewed while the picker runs."""

from __future__ import annotations

import asyncio
import logging
import shutil
import ssl
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from tests.cli.pickers import PORTS, Running, parse, picker_process, running_picker, write_source
from tests.wire.authority import Authority

from signalbox.cli import certificate, epp
from signalbox.cli.certificate import describe, read_tls, renew_at
from signalbox.wire import ServerTls


async def shown(picker: Running) -> x509.Certificate:
    """The certificate that a new connection is shown."""
    pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", picker.picker.grpc_port))
    return x509.load_pem_x509_certificate(pem.encode())


async def shows(picker: Running, expected: x509.Certificate) -> None:
    """Wait until new connections are shown this certificate."""
    async with asyncio.timeout(10):
        while await shown(picker) != expected:
            pass


def mounted(directory: Path, version: str, authority: Authority) -> x509.Certificate:
    """Put a new pair into a directory as the kubelet does: everything at once, by the swap of one link."""
    certificate = authority.issue(directory / version)
    draft = directory / "..data_tmp"
    draft.symlink_to(version)
    draft.rename(directory / "..data")
    for name in ("tls.crt", "tls.key"):
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(f"..data/{name}")
    return certificate


@pytest.fixture
def authority() -> Authority:
    return Authority()


def test_plaintext_has_no_use_for_certificates(tmp_path: Path) -> None:
    for flag in ("--cert-path", "--client-ca-file"):
        options = parse("--secure-serving=false", flag, str(tmp_path))
        with pytest.raises(ValueError, match=f"{flag} .* is for TLS, which --secure-serving=false turns off"):
            read_tls(options)
    assert read_tls(parse("--no-secure-serving")) is None


async def test_a_mounted_secret_is_renewed_by_the_swap_of_its_link(authority: Authority, tmp_path: Path) -> None:
    certificates = tmp_path / "certificates"
    first = mounted(certificates, "..2026_01", authority)
    async with running_picker(write_source(tmp_path / "source"), "--cert-path", str(certificates)) as picker:
        assert await shown(picker) == first
        second = mounted(certificates, "..2026_02", authority)
        shutil.rmtree(certificates / "..2026_01")
        await shows(picker, second)


async def test_files_written_one_after_the_other_are_renewed_once_both_are_there(
    authority: Authority, tmp_path: Path
) -> None:
    certificates = tmp_path / "certificates"
    authority.issue(certificates)
    renewed = authority.issue(tmp_path / "next")
    async with running_picker(write_source(tmp_path / "source"), "--cert-path", str(certificates)) as picker:
        for name in ("tls.crt", "tls.key"):
            shutil.copy(tmp_path / "next" / name, certificates / name)
        await shows(picker, renewed)


async def test_what_cannot_be_used_is_logged_once_with_file_and_fix(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificates = tmp_path / "certificates"
    authority.issue(certificates)
    key = (certificates / "tls.key").read_bytes()
    tls = ServerTls(certificates)

    async def changes() -> AsyncGenerator[None, None]:
        yield  # nothing new
        (certificates / "tls.key").write_bytes(b"broken")
        yield
        yield  # another file of the directory changed
        (certificates / "tls.key").write_bytes(key)
        yield
        authority.issue(certificates)
        yield

    with caplog.at_level(logging.INFO, "signalbox.epp"):
        await renew_at(tls, changes())
    assert [record.message for record in caplog.records] == [
        "certificate not renewed, the last good one stays",
        "certificate files are good again",
        "certificate renewed",
    ]
    problem = vars(caplog.records[0])["problem"]
    assert problem.startswith(f"{certificates}/tls.key: no private key in PEM")
    assert problem.endswith("put the key of tls.crt there")


def test_a_certificate_that_has_expired_is_said_to(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expired = authority.issue(tmp_path / "certificates", days=-1)
    told = describe(ServerTls(tmp_path / "certificates"))
    assert told == {
        "certificate": str(tmp_path / "certificates"),
        "expires": expired.not_valid_after_utc.isoformat(),
    }
    assert [record.message for record in caplog.records] == ["certificate has expired"]


async def test_a_picker_without_its_certificate_does_not_start(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source")
    cases = [
        (("--cert-path", str(tmp_path)), f"signalbox epp: {tmp_path}/tls.crt: No such file or directory; put the file"),
        (
            ("--client-ca-file", str(tmp_path / "ca.crt")),
            f"signalbox epp: {tmp_path}/ca.crt: No such file or directory",
        ),
        (("--secure-serving=false", "--cert-path", "x"), "signalbox epp: --cert-path x is for TLS"),
        (("--max-buffered-mib", "1"), "signalbox epp: --max-buffered-mib 1: one body of --body-limit 32 takes"),
    ]
    for flags, problem in cases:
        async with picker_process(source, *flags) as picker:
            _, errors = await picker.process.communicate()
            assert await picker.ended() == 2
            assert errors.decode().startswith(problem)


def test_files_that_the_system_cannot_watch_end_the_picker(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def changes(paths: Sequence[Path]) -> AsyncGenerator[None, None]:
        yield
        raise OSError(f"cannot watch {paths[0]}: raise fs.inotify.max_user_watches")

    certificates = tmp_path / "certificates"
    authority.issue(certificates)
    monkeypatch.setattr(certificate, "changes", changes)
    monkeypatch.setattr(epp, "configure_logging", lambda level, fmt: None)
    options = parse(*PORTS, "--source", str(write_source(tmp_path / "source")), "--cert-path", str(certificates))
    assert epp.run(options) == 1
    assert capsys.readouterr().err.endswith(f"cannot watch {certificates}: raise fs.inotify.max_user_watches\n")
