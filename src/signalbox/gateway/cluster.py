"""Brings this machine in line with what the manifests ask for, again and again, as controllers and a kubelet would.

One step at a time, and in an order that loses no request:

1. pickers learn models, and which pods are leaving or no longer ready, so that they stop naming them;
2. ConfigMaps reach their volumes, a moment after the models: a canary is flipped before its old adapter is unloaded;
3. pods are started, pods that are too many begin to drain;
4. the proxy learns the ready pods, and says that it has;
5. pickers learn newly ready pods, which the proxy now knows;
6. pods that neither names any more are asked to end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from signalbox.gateway.addresses import POD_NETWORK, NoAddress, claim
from signalbox.gateway.backends import pool_members
from signalbox.gateway.body_routing import BodyRouting
from signalbox.gateway.desired import Desired
from signalbox.gateway.local_picker import LocalPicker
from signalbox.gateway.local_pod import LocalPod, Surroundings
from signalbox.gateway.members import Member, Phase
from signalbox.gateway.pickers import Pickers
from signalbox.gateway.pods import Workload
from signalbox.gateway.rollout import PodView, Start, held_up, plan_rollout
from signalbox.gateway.servers import ExternalServer
from signalbox.resources import InferencePool

VOLUME_LAG = 1.0
"""Seconds between telling pickers about models and handing ConfigMaps to running pods.

A kubelet takes up to a minute for the same; without any lag a syncer might unload an adapter that a picker still names.
"""

LAST_PICKS = 0.5
"""Seconds between the last mention of a pod and its SIGTERM: requests already on their way to it still arrive."""


class Proxy(Protocol):
    """The gateway's data plane."""

    async def publish(
        self, desired: Desired, members: Iterable[Member], pickers: Iterable[LocalPicker], body_router: str
    ) -> None:
        """Put routes, ready members, pickers and body-based routing (its address or "") in force; return when done."""

    async def stop(self) -> None:
        """Let requests finish, then end."""


class Cluster:
    """The pods, pickers and the proxy of this machine.

    ``wake`` is set by whoever knows of a change (pods set it through their ``Surroundings``); ``clock`` is a
    monotonic clock in seconds.
    """

    def __init__(
        self,
        around: Surroundings,
        proxy: Proxy,
        servers: Iterable[ExternalServer] = (),
        wake: asyncio.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._around = around
        self._proxy = proxy
        self._servers = tuple(servers)
        self._clock = clock
        self._desired = Desired()
        self._pods: dict[tuple[str, str], LocalPod] = {}
        self._pickers = Pickers(around, self._say_once)
        self._body_routing = BodyRouting(around, self._say_once)
        self._proxied: frozenset[tuple[str, str, str, int]] = frozenset()
        self._volumes_current: set[tuple[str, str]] = set()
        self._models_told = float("-inf")
        self._wake = wake or asyncio.Event()
        self._ending_pods: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._steps_settled = False
        self._said: set[str] = set()

    # -- what there is ------------------------------------------------------------------------------------------

    @property
    def members(self) -> tuple[Member, ...]:
        """All pods and servers, by name."""
        mine = sorted((pod.member for pod in self._pods.values()), key=lambda member: (member.namespace, member.name))
        return (*mine, *(server.member for server in self._servers))

    @property
    def pickers(self) -> tuple[LocalPicker, ...]:
        """The pickers, one for each pool."""
        return self._pickers.all

    @property
    def desired(self) -> Desired:
        """What is being brought about."""
        return self._desired

    def members_of(self, pool: InferencePool) -> tuple[Member, ...]:
        """The members a pool selects."""
        return pool_members(pool, self.members)

    @property
    def settled(self) -> bool:
        """Whether all that is asked for serves: pods, pickers, body-based routing; and the proxy knows them."""
        if not self._steps_settled or not all(picker.ready for picker in self.pickers):
            return False
        if not self._body_routing.ready:
            return False
        ready = [member for member in self.members if member.ready]
        if any(member.identity not in self._proxied for member in ready):
            return False
        if self._servers and not any(server.member.ready for server in self._servers):
            return False
        return all(
            sum(pod.member.ready for pod in self._pods_of(workload)) >= workload.replicas
            for workload in self._desired.workloads.servers
        )

    # -- what is asked for --------------------------------------------------------------------------------------

    def want(self, desired: Desired) -> None:
        """Take new manifests; ``run`` acts on them."""
        self._desired = desired
        self._volumes_current.clear()
        self._steps_settled = False
        self.wake()

    def wake(self) -> None:
        """Something changed: look again."""
        self._wake.set()

    async def run(self) -> None:
        """Keep this machine in line for ever."""
        for server in self._servers:
            server.start()
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.step()

    async def step(self) -> None:
        """Act once on whatever differs from what is asked for."""
        desired = self._desired
        self._pickers.match(desired)
        self._body_routing.match(desired)
        self._match_pods(desired)
        self._say_troubles()
        self._tell_models(desired)
        self._tell_pods(desired)
        self._fill_volumes(desired)
        ready = frozenset(member.identity for member in self.members if member.ready)
        body_router = self._body_routing.address
        await self._proxy.publish(desired, self.members, self.pickers, body_router)
        self._body_routing.told(body_router)
        self._proxied = ready
        self._tell_pods(desired)
        self._end_drained()
        self._steps_settled = self._desired is desired

    async def stop(self, grace: float = 3.0) -> None:
        """Stop everything: the proxy first, so that requests in flight can finish, then the rest together."""
        await self._proxy.stop()
        for task in self._ending_pods.values():
            task.cancel()  # they may take the pods' own, longer grace
        await asyncio.gather(*self._ending_pods.values(), return_exceptions=True)
        await asyncio.gather(
            *(pod.stop(grace, hurried=True) for pod in self._pods.values()),
            self._pickers.stop(),
            self._body_routing.stop(),
            *(server.stop() for server in self._servers),
        )
        self._pods.clear()

    # -- the parts of a step ------------------------------------------------------------------------------------

    def _match_pods(self, desired: Desired) -> None:
        workloads = {workload.key: workload for workload in desired.workloads.servers}
        for identity, pod in self._pods.items():
            if pod.owner not in workloads:
                self._drain(identity, "its Deployment is gone")
        for workload in workloads.values():
            pods = self._pods_of(workload)
            views = [_view(pod) for pod in pods if pod.member.phase is not Phase.DRAINING]
            names = [pod.name for pod in pods]
            template = workload.template
            for action in plan_rollout(template.deployment, workload.replicas, template.revision, views, names):
                if isinstance(action, Start):
                    self._start_pod(action.name, workload)
                else:
                    self._drain((template.namespace, action.name), "no longer asked for")

    def _start_pod(self, name: str, workload: Workload) -> None:
        template = workload.template
        try:
            wishes = [syncer.metrics_port for syncer in template.syncers]
            lease = claim(POD_NETWORK, (template.port,), wishes, self._around.taken_ports)
        except NoAddress as error:
            self._say_once("pod", f"{name}: {error}")
            return
        pod = LocalPod(name, template, lease, self._around)
        self._pods[template.namespace, name] = pod
        self._around.say("pod", f"{name} {pod.member.address} starting")
        for pool in self._desired.pools:
            ports = [target.number for target in pool.spec.target_ports]
            if pool_members(pool, (pod.member,)) and template.port not in ports:
                numbers = ", ".join(map(str, ports))
                self._say_once(
                    "pod", f"{name} listens on {template.port}, but {pool.key} sends to {numbers}: make them agree"
                )

    def _drain(self, identity: tuple[str, str], reason: str) -> None:
        pod = self._pods[identity]
        if pod.member.phase is not Phase.DRAINING:
            pod.drain()
            self._around.say("pod", f"{pod.name} {pod.member.address} draining: {reason}")

    def _say_troubles(self) -> None:
        for pod in self._pods.values():
            trouble = pod.untold_trouble()
            if trouble:
                others = [other for other in self._pods.values() if other.owner == pod.owner]
                waits = held_up(pod.template.revision, map(_view, others))
                self._around.say("pod", f"{pod.name} not ready: {trouble}{waits}")

    def _tell_models(self, desired: Desired) -> None:
        if self._pickers.tell_policies(desired):
            self._models_told = self._clock()

    def _tell_pods(self, desired: Desired) -> None:
        self._pickers.tell_pods(desired, self.members_of, self._proxied)

    def _fill_volumes(self, desired: Desired) -> None:
        lag = self._models_told + VOLUME_LAG - self._clock()
        for identity, pod in self._pods.items():
            if identity in self._volumes_current:
                continue
            if lag > 0 and pod.member.phase is not Phase.WAITING:
                asyncio.get_running_loop().call_later(lag, self.wake)
                continue
            pod.provide(desired.config_maps_of(identity[0]))
            self._volumes_current.add(identity)

    def _end_drained(self) -> None:
        for identity, pod in self._pods.items():
            gone = pod.member.identity not in self._proxied
            if pod.member.phase is Phase.DRAINING and gone and identity not in self._ending_pods:
                self._ending_pods[identity] = asyncio.create_task(self._end_pod(identity, pod))

    async def _end_pod(self, identity: tuple[str, str], pod: LocalPod) -> None:
        await asyncio.sleep(LAST_PICKS)
        await pod.stop()
        del self._pods[identity], self._ending_pods[identity]
        self._volumes_current.discard(identity)
        self._around.say("pod", f"{pod.name} gone")
        self.wake()

    def _pods_of(self, workload: Workload) -> list[LocalPod]:
        return [pod for pod in self._pods.values() if pod.owner == workload.key]

    def _say_once(self, subject: str, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._around.say(subject, text)


def _view(pod: LocalPod) -> PodView:
    return PodView(pod.name, pod.template.revision, pod.member.ready)
