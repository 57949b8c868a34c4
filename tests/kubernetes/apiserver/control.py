"""A real API server on this machine: etcd and kube-apiserver, without controllers, schedulers or nodes.

Nothing acts on objects here: a Pod that is created stays as it is until a test patches its status. The server is 1.20,
which ignores ``x-kubernetes-validations`` (CEL rules) in CRDs.
"""

from __future__ import annotations

import base64
import os
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path
from types import TracebackType

import httpx2
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.wire.authority import Authority

START_SECONDS = 90.0
ADMIN_TOKEN = "admin"  # of a server on a loopback address that lives as long as the tests


class NotStarted(Exception):
    """A process ended, or did not answer in time; the message holds the end of its log."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _write_rsa_key(path: Path) -> Path:
    """Service account keys have to be RSA or a kind of EC file that our own keys are not."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    traditional, open_ = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, traditional, open_))
    return path


class ApiServer:
    """etcd and kube-apiserver on free ports of 127.0.0.1; a context manager that ends both."""

    def __init__(self, binary: Path, directory: Path) -> None:
        """``directory`` takes data, keys and logs."""
        self._binary = binary
        self._directory = directory
        self._etcd_port, self._etcd_peer, self.port = _free_port(), _free_port(), _free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._authority = Authority("kubernetes")
        self._authority.issue(directory / "serving", "kubernetes")
        self._ca = self._authority.file(directory / "ca.crt")
        self._account_key = _write_rsa_key(directory / "accounts.key")
        (directory / "tokens.csv").write_text(f'{ADMIN_TOKEN},admin,admin,"system:masters"\n')

    @property
    def url(self) -> str:
        """Where the API is served."""
        return f"https://127.0.0.1:{self.port}"

    def __enter__(self) -> ApiServer:
        try:
            self._start_etcd()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End both processes."""
        for name in ("kube-apiserver", "etcd"):
            self._kill(name)

    def kubeconfig(self, name: str, token: str | None = None, *, token_file: Path | None = None) -> Path:
        """Write and return a kubeconfig called ``name`` for a token, by default the administrator's."""
        cluster = {
            "server": self.url,
            "certificate-authority-data": base64.b64encode(self._authority.pem).decode(),
        }
        user = {"tokenFile": str(token_file)} if token_file is not None else {"token": token or ADMIN_TOKEN}
        path = self._directory / f"{name}.kubeconfig"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path.write_text(yaml.safe_dump(document))
        path.chmod(0o600)
        return path

    def start(self) -> None:
        """Start kube-apiserver and wait until it is ready. Raises `NotStarted`."""
        serving = self._directory / "serving"
        arguments = [
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--tls-cert-file={serving / 'tls.crt'}",
            f"--tls-private-key-file={serving / 'tls.key'}",
            f"--service-account-key-file={self._account_key}",
            f"--service-account-signing-key-file={self._account_key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--api-audiences=kubernetes",
            f"--token-auth-file={self._directory / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--etcd-compaction-interval=0",  # the tests compact when they mean to
            "--allow-privileged=true",
            "--endpoint-reconciler-type=none",
        ]
        self._spawn("kube-apiserver", [str(self._binary), *arguments])
        self._await("kube-apiserver", f"{self.url}/readyz")

    @property
    def running(self) -> bool:
        """Whether kube-apiserver runs."""
        return "kube-apiserver" in self._processes

    def kill(self) -> None:
        """End kube-apiserver as a crash would: connections break, nothing is said."""
        self._kill("kube-apiserver")

    def compact(self) -> None:
        """Make etcd forget all history before now."""
        status = self._etcd("maintenance/status", {})
        self._etcd("kv/compaction", {"revision": status["header"]["revision"], "physical": True})

    def _etcd(self, path: str, body: dict[str, object]) -> dict[str, dict[str, str]]:
        answer = httpx2.post(f"http://127.0.0.1:{self._etcd_port}/v3/{path}", json=body)
        parsed: dict[str, dict[str, str]] = answer.raise_for_status().json()
        return parsed

    def _start_etcd(self) -> None:
        program = shutil.which("etcd")
        if program is None:
            raise NotStarted("etcd is not installed: run tests/kubernetes/apiserver/build")
        client, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{self._etcd_peer}"
        self._spawn(
            "etcd",
            [
                *(program, "--data-dir", str(self._directory / "etcd"), "--log-level=error"),
                *("--listen-client-urls", client, "--advertise-client-urls", client),
                *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                *("--initial-cluster", f"default={peer}", "--unsafe-no-fsync"),
            ],
        )
        self._await("etcd", f"{client}/health")

    def _spawn(self, name: str, command: list[str]) -> None:
        with (self._directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._directory)

    def _kill(self, name: str) -> None:
        process = self._processes.pop(name, None)
        if process is not None:
            process.kill()
            process.wait()

    def _await(self, name: str, url: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        reason: object = None
        # httpx2, not urllib, which leaves a socket open where a server that is starting breaks off a handshake.
        with httpx2.Client(
            verify=ssl.create_default_context(cafile=str(self._ca)),
            headers={"Authorization": f"Bearer {ADMIN_TOKEN}", "Connection": "close"},
        ) as client:
            while time.monotonic() < deadline and self._processes[name].poll() is None:
                try:
                    answer = client.get(url)
                except httpx2.TransportError as error:
                    reason = error
                else:
                    if answer.is_success:
                        return
                    reason = answer.text
                time.sleep(0.1)
        log = (self._directory / f"{name}.log").read_text(errors="replace")
        raise NotStarted(f"{name} does not answer ({reason}); the end of its log:\n{log[-2000:]}")


def server_from_environment(directory: Path) -> ApiServer | None:
    """Return a server for the binary that ``SIGNALBOX_KUBE_APISERVER`` names; ``None`` where it names none."""
    binary = os.environ.get("SIGNALBOX_KUBE_APISERVER")
    return ApiServer(Path(binary), directory) if binary else None
