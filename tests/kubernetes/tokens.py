"""Service accounts, their tokens and what they may do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from tests.kubernetes.admin import Admin, Answered


class ServiceAccount:
    """A service account of the administrator's namespace."""

    def __init__(self, kubeconfig: Path, admin: Admin, name: str) -> None:
        self.name = name
        self._admin = admin
        self._like = kubeconfig
        self._create()

    def _create(self) -> None:
        document = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": self.name}}
        self._admin.create(document)

    def token(self) -> str:
        """A token that lasts an hour."""
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}}
        path = f"{self._admin.path('ServiceAccount', self.name)}/token"
        token: str = self._admin.request("POST", path, request)["status"]["token"]
        return token

    def revoke(self) -> None:
        """Make all tokens so far invalid."""
        self._admin.delete("ServiceAccount", self.name)
        self._create()

    def kubeconfig(self, path: Path, *, token_file: Path | None = None) -> Path:
        """Write the way in for this account."""
        document = yaml.safe_load(self._like.read_text())
        user = {"token": self.token()} if token_file is None else {"tokenFile": str(token_file)}
        for entry in document["users"]:
            entry["user"] = user
        path.write_text(yaml.safe_dump(document))
        return path

    def may(self, rules: Sequence[dict[str, Any]], *, everywhere: bool = False) -> None:
        """Allow it this, in place of what it was allowed before: in its namespace, or ``everywhere``."""
        kind = "ClusterRole" if everywhere else "Role"
        name = f"{self._admin.namespace}-{self.name}" if everywhere else self.name
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": name},
            "rules": list(rules),
        }
        try:
            self._admin.create(role)
        except Answered as answered:
            if answered.code != 409:
                raise
            self._admin.request("PUT", self._admin.path(kind, name), role)
            return
        subject = {"kind": "ServiceAccount", "name": self.name, "namespace": self._admin.namespace}
        self._admin.create(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": f"{kind}Binding",
                "metadata": {"name": name},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
                "subjects": [subject],
            }
        )
