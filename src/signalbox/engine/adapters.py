"""Where LoRA adapters are: known by name, in host memory, in a GPU slot, in the running batch."""

from __future__ import annotations

from collections import Counter, OrderedDict


class UnknownAdapter(Exception):
    """A request names an adapter that is not loaded."""


class AdapterTiers:
    """LoRA slots of one engine.

    ``max_loras`` GPU slots and ``max_cpu_loras`` places in host memory, both least recently used first out, where an
    adapter of the running batch is never evicted. Loading costs ``disk_seconds`` into host memory and ``copy_seconds``
    into a slot.
    """

    def __init__(self, max_loras: int, max_cpu_loras: int, disk_seconds: float, copy_seconds: float) -> None:
        if max_cpu_loras < max_loras:
            raise ValueError(f"max_cpu_loras: {max_cpu_loras} is below max_loras ({max_loras}); raise it")
        self.max_loras = max_loras
        self._max_cpu = max_cpu_loras
        self._disk_seconds = disk_seconds
        self._copy_seconds = copy_seconds
        self._known: set[str] = set()
        self._cpu: OrderedDict[str, None] = OrderedDict()
        self._gpu: OrderedDict[str, None] = OrderedDict()
        self._in_flight: Counter[str] = Counter()
        self._batch: Counter[str] = Counter()

    @property
    def in_flight(self) -> tuple[str, ...]:
        """Adapters with a waiting or running request, in order of first use."""
        return tuple(self._in_flight)

    @property
    def resident(self) -> tuple[str, ...]:
        """Adapters in a GPU slot, least recently used first."""
        return tuple(self._gpu)

    @property
    def in_host_memory(self) -> tuple[str, ...]:
        """Adapters in host memory, least recently used first."""
        return tuple(self._cpu)

    def load(self, name: str) -> float:
        """Make an adapter known and ready; the seconds that takes. Loading it again reads it again."""
        if self.max_loras < 1:
            raise UnknownAdapter(f"adapter {name!r}: this engine has no LoRA slots; set max_loras")
        self._known.add(name)
        self._cpu.pop(name, None)
        if name not in self._batch:
            self._gpu.pop(name, None)
        seconds = self._to_host(name)
        if len(self._gpu) < self.max_loras:
            seconds += self._to_slot(name)
        return seconds

    def unload(self, name: str) -> bool:
        """Forget an adapter; requests in flight keep its weights until they end. False if it was not known."""
        if name not in self._known:
            return False
        self._known.discard(name)
        self._drop_if_unused(name)
        return True

    def arrive(self, name: str) -> None:
        """A request for this adapter was submitted; raises UnknownAdapter if it is not loaded."""
        if name not in self._known:
            raise UnknownAdapter(f"adapter {name!r} is not loaded; load it before sending requests for it")
        self._in_flight[name] += 1

    def leave(self, name: str) -> None:
        """A request for this adapter ended."""
        self._in_flight[name] -= 1
        if not self._in_flight[name]:
            del self._in_flight[name]
            self._drop_if_unused(name)

    def admissible(self, name: str | None) -> bool:
        """Whether a request for this adapter may join the running batch now."""
        return name is None or name in self._batch or len(self._batch) < self.max_loras

    def join(self, name: str) -> float:
        """A request joins the running batch; seconds spent to bring its adapter into a slot."""
        self._batch[name] += 1
        if name in self._gpu:
            self._gpu.move_to_end(name)
            if name in self._cpu:
                self._cpu.move_to_end(name)
            return 0.0
        return self._to_host(name) + self._to_slot(name)

    def part(self, name: str) -> None:
        """A request left the running batch (it ended or was preempted)."""
        self._batch[name] -= 1
        if not self._batch[name]:
            del self._batch[name]

    def fork(self) -> AdapterTiers:
        """A copy that goes its own way."""
        copy = AdapterTiers(self.max_loras, self._max_cpu, self._disk_seconds, self._copy_seconds)
        copy._known, copy._cpu, copy._gpu = self._known.copy(), self._cpu.copy(), self._gpu.copy()
        copy._in_flight, copy._batch = self._in_flight.copy(), self._batch.copy()
        return copy

    def _to_host(self, name: str) -> float:
        if name in self._cpu:
            self._cpu.move_to_end(name)
            return 0.0
        self._cpu[name] = None
        self._evict(self._cpu, self._max_cpu, name)
        return self._disk_seconds

    def _to_slot(self, name: str) -> float:
        if name in self._gpu:
            return 0.0
        self._gpu[name] = None
        self._evict(self._gpu, self.max_loras, name)
        return self._copy_seconds

    def _evict(self, tier: OrderedDict[str, None], capacity: int, keep: str) -> None:
        if len(tier) > capacity:
            victim = next(name for name in tier if name != keep and name not in self._batch)
            del tier[victim]

    def _drop_if_unused(self, name: str) -> None:
        if name not in self._known and name not in self._in_flight:
            self._cpu.pop(name, None)
            self._gpu.pop(name, None)
