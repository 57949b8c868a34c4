"""Containers and pod specs, with every standard field of ``v1`` known by name."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from signalbox.resources.limits import entries, text, unique_by
from signalbox.resources.probes import Probe, Seconds
from signalbox.resources.scalars import DNSLabel, ObjectName, Port
from signalbox.resources.strict import Boolean, Opaque, Strict, fault
from signalbox.resources.suggestions import choose

RestartPolicy = Literal["Always", "OnFailure", "Never"]


class EnvVar(Strict):
    """An environment variable; a value taken ``from`` elsewhere is kept as it was written."""

    name: Annotated[str, text(1, 1 << 20)]
    value: str = ""
    value_from: Opaque = None


class ContainerPort(Strict):
    """A port a container listens on; other fields may refer to it by ``name``."""

    container_port: Port
    name: str = ""
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    host_ip: Opaque = Field(default=None, alias="hostIP")
    host_port: Opaque = None


class VolumeMount(Strict):
    """Where a volume of the pod appears in a container."""

    name: str
    mount_path: str
    sub_path: str = ""
    read_only: Boolean = False
    mount_propagation: Opaque = None
    recursive_read_only: Opaque = None
    sub_path_expr: Opaque = None


class Container(Strict):
    """One container. An init container whose ``restart_policy`` is Always is a sidecar."""

    name: DNSLabel
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    lifecycle: Opaque = None
    volume_mounts: tuple[VolumeMount, ...] = ()
    restart_policy: RestartPolicy | None = None
    working_dir: str = ""
    env_from: Opaque = None
    image_pull_policy: Opaque = None
    resize_policy: Opaque = None
    resources: Opaque = None
    restart_policy_rules: Opaque = None
    security_context: Opaque = None
    stdin: Opaque = None
    stdin_once: Opaque = None
    termination_message_path: Opaque = None
    termination_message_policy: Opaque = None
    tty: Opaque = None
    volume_devices: Opaque = None


class KeyToPath(Strict):
    """Which key of a ConfigMap becomes which file of a volume."""

    key: str
    path: str
    mode: Opaque = None


class ConfigMapVolume(Strict):
    """A ConfigMap as files; with no ``items``, one file per key."""

    name: ObjectName
    items: tuple[KeyToPath, ...] = ()
    optional: Boolean = False
    default_mode: Opaque = None


class Volume(Strict):
    """A volume of a pod. Only ConfigMaps are read here."""

    name: DNSLabel
    config_map: ConfigMapVolume | None = None
    aws_elastic_block_store: Opaque = None
    azure_disk: Opaque = None
    azure_file: Opaque = None
    cephfs: Opaque = None
    cinder: Opaque = None
    csi: Opaque = None
    downward_api: Opaque = Field(default=None, alias="downwardAPI")
    empty_dir: Opaque = None
    ephemeral: Opaque = None
    fc: Opaque = None
    flex_volume: Opaque = None
    flocker: Opaque = None
    gce_persistent_disk: Opaque = None
    git_repo: Opaque = None
    glusterfs: Opaque = None
    host_path: Opaque = None
    image: Opaque = None
    iscsi: Opaque = None
    nfs: Opaque = None
    persistent_volume_claim: Opaque = None
    photon_persistent_disk: Opaque = None
    portworx_volume: Opaque = None
    projected: Opaque = None
    quobyte: Opaque = None
    rbd: Opaque = None
    scale_io: Opaque = Field(default=None, alias="scaleIO")
    secret: Opaque = None
    storageos: Opaque = None
    vsphere_volume: Opaque = None


class PodSpec(Strict):
    """What a pod runs."""

    containers: Annotated[tuple[Container, ...], entries(1, 1 << 20, "container"), unique_by("name")]
    init_containers: Annotated[tuple[Container, ...], unique_by("name")] = ()
    volumes: Annotated[tuple[Volume, ...], unique_by("name")] = ()
    termination_grace_period_seconds: Seconds = 30
    restart_policy: RestartPolicy = "Always"
    active_deadline_seconds: Opaque = None
    affinity: Opaque = None
    automount_service_account_token: Opaque = None
    dns_config: Opaque = None
    dns_policy: Opaque = None
    enable_service_links: Opaque = None
    ephemeral_containers: Opaque = None
    host_aliases: Opaque = None
    host_ipc: Opaque = Field(default=None, alias="hostIPC")
    host_network: Opaque = None
    host_pid: Opaque = Field(default=None, alias="hostPID")
    host_users: Opaque = None
    hostname: Opaque = None
    hostname_override: Opaque = None
    image_pull_secrets: Opaque = None
    node_name: Opaque = None
    node_selector: Opaque = None
    os: Opaque = None
    overhead: Opaque = None
    preemption_policy: Opaque = None
    priority: Opaque = None
    priority_class_name: Opaque = None
    readiness_gates: Opaque = None
    resource_claims: Opaque = None
    resources: Opaque = None
    runtime_class_name: Opaque = None
    scheduler_name: Opaque = None
    scheduling_gates: Opaque = None
    scheduling_group: Opaque = None
    security_context: Opaque = None
    service_account: Opaque = None
    service_account_name: Opaque = None
    set_hostname_as_fqdn: Opaque = Field(default=None, alias="setHostnameAsFQDN")
    share_process_namespace: Opaque = None
    subdomain: Opaque = None
    tolerations: Opaque = None
    topology_spread_constraints: Opaque = None
    workload_ref: Opaque = None

    @model_validator(mode="after")
    def _mounts_have_volumes(self) -> PodSpec:
        volumes = [volume.name for volume in self.volumes]
        for field, containers in (("initContainers", self.init_containers), ("containers", self.containers)):
            for index, container in enumerate(containers):
                for position, mount in enumerate(container.volume_mounts):
                    if mount.name not in volumes:
                        fix = choose(mount.name, volumes, "add it to the pod's volumes")
                        at = (field, index, "volumeMounts", position, "name")
                        raise fault(f"there is no volume named {mount.name!r}", fix, *at)
        return self
