"""The way to an API server: where it is, whom it may be, and who we are.

Files are read by lightkube: a pod's service account, or a kubeconfig with a token, a token file, client certificates
or the name of a program that prints a token.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx2
import msgspec
import yaml
from lightkube.config.client_adapter import ExecAuth, user_auth, verify_cluster
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.config.models import User
from lightkube.core.exceptions import ConfigError

from signalbox.cluster.errors import NoAccess
from signalbox.cluster.token_file import TokenFile
from signalbox.cluster.token_program import TokenProgram

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
HOME_KUBECONFIG = Path("~/.kube/config")

# A peer that vanished without a word is noticed after 15 + 3 x 5 s; Linux names, left out where there are none.
_SOCKET_OPTIONS: list[tuple[int, int, int]] = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (
            ("TCP_KEEPIDLE", 15),
            ("TCP_KEEPINTVL", 5),
            ("TCP_KEEPCNT", 3),
            ("TCP_USER_TIMEOUT", 30_000),
        )
        if hasattr(socket, name)
    ),
]


class Access:
    """One way in. The files it consists of are read anew by each `connect`, since tokens and certificates are
    renewed in place."""

    def __init__(
        self,
        kubeconfig: Path | None,
        service_account: Path = SERVICE_ACCOUNT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``kubeconfig``, or the service account of the pod this runs in where it is ``None``.

        ``clock``, in seconds, says when a token's file is read again.
        """
        self._kubeconfig = kubeconfig
        self._clock = clock
        self._service_account = service_account

    def __str__(self) -> str:
        return "the pod's service account" if self._kubeconfig is None else f"kubeconfig {self._kubeconfig}"

    def connect(self, timeout: float) -> httpx2.AsyncClient:
        """Return a client for the API server that waits ``timeout`` seconds for what is asked of it.

        Raises:
            NoAccess: a file is missing, broken, or asks for something that cannot be done.
        """
        try:
            config = self._read()
            user = config.user or User()
            # As lightkube, which prefers the file to a token, but reads it again only when it is refused.
            auth = TokenFile(Path(user.token_file), self._clock) if user.token_file else user_auth(user)
            if isinstance(auth, ExecAuth) and user.exec is not None:
                auth = TokenProgram(user.exec)
            verify = verify_cluster(config.cluster, user, config.abs_file)
        except ConfigError as error:
            raise NoAccess(f"{self}: {error}; correct it") from error
        except KeyError as error:
            raise NoAccess(f"{self}: {error} is missing; add it") from error
        except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError, msgspec.MsgspecError) as error:
            said = " ".join(str(error).split())
            raise NoAccess(f"{self}: {said}; correct it") from error
        # A transport of our own, for its socket options; proxies of the environment are not for the API server.
        transport = httpx2.AsyncHTTPTransport(
            verify=verify, socket_options=_SOCKET_OPTIONS, limits=httpx2.Limits(max_connections=None)
        )
        return httpx2.AsyncClient(base_url=config.cluster.server, auth=auth, transport=transport, timeout=timeout)

    def _read(self) -> SingleConfig:
        if self._kubeconfig is None:
            read = KubeConfig.from_service_account(self._service_account)
        else:
            read = KubeConfig.from_file(self._kubeconfig)
        config = read.get()
        assert config is not None  # lightkube raises where there is no current context
        return config


def find_access(
    kubeconfig: Path | None, environment: Mapping[str, str], service_account: Path = SERVICE_ACCOUNT
) -> Access:
    """Return the way to the API server: ``kubeconfig``, else ``KUBECONFIG``, else the service account of the pod this
    runs in, else ``~/.kube/config``: the order of the field's controllers.

    Raises:
        NoAccess: none of them is there.
    """
    if kubeconfig is not None:
        return _from_file(kubeconfig, f"--kubeconfig {kubeconfig}")
    named = environment.get("KUBECONFIG", "")
    if named:
        if os.pathsep in named:
            raise NoAccess(f"KUBECONFIG {named}: several files are not merged here; name one")
        return _from_file(Path(named), f"KUBECONFIG {named}")
    if environment.get("KUBERNETES_SERVICE_HOST"):
        if not (service_account / "token").is_file():
            raise NoAccess(
                f"{service_account}/token: no such file; set automountServiceAccountToken: true on the pod, or give"
                " --kubeconfig FILE"
            )
        return Access(None, service_account)
    home = HOME_KUBECONFIG.expanduser()
    if home.is_file():
        return Access(home)
    raise NoAccess(
        "no cluster: this is no pod, KUBECONFIG is not set and ~/.kube/config does not exist; give --kubeconfig FILE"
    )


def _from_file(path: Path, called: str) -> Access:
    if not path.expanduser().is_file():
        raise NoAccess(f"{called}: no such file")
    return Access(path.expanduser())
