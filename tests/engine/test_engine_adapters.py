from collections.abc import Callable

import pytest

from signalbox.engine import Engine, Request, UnknownAdapter

MakeEngine = Callable[..., Engine]
MakeRequest = Callable[..., Request]


@pytest.fixture
def loaded(make_engine: MakeEngine) -> Engine:
    """Two slots, three places in host memory, adapters a, b and c loaded one after the other."""
    engine = make_engine(max_loras=2, max_cpu_loras=3)
    for name in "abc":
        engine.load_adapter(name, 0.0)
    return engine


def test_loading_takes_the_disk_and_a_free_slot_the_copy(make_engine: MakeEngine) -> None:
    engine = make_engine(max_loras=1, max_cpu_loras=2)
    assert engine.load_adapter("a", 0.0) == 5.0
    assert engine.load_adapter("b", 0.0) == 4.0  # the slot is taken
    assert engine.stats().adapters_resident == ("a",)


def test_no_batch_starts_while_an_adapter_is_read(make_engine: MakeEngine, request_of: MakeRequest) -> None:
    engine = make_engine(max_loras=1, max_cpu_loras=2)
    engine.load_adapter("a", 10.0)
    state = engine.submit(request_of("r", 4, 1), 11.0)
    assert engine.step(11.0).next_at == 15.0
    engine.step(20.0)
    assert (state.scheduled_at, state.finished_at) == (15.0, 16.0)


def test_a_request_for_an_adapter_that_is_not_loaded_is_refused(loaded: Engine, request_of: MakeRequest) -> None:
    with pytest.raises(UnknownAdapter, match="'d'"):
        loaded.submit(request_of("r", 4, 1, adapter="d"), 0.0)


def test_an_engine_without_slots_loads_nothing(make_engine: MakeEngine) -> None:
    with pytest.raises(UnknownAdapter, match="max_loras"):
        make_engine().load_adapter("a", 0.0)


def test_requests_over_max_loras_are_overtaken(loaded: Engine, request_of: MakeRequest) -> None:
    for name in ("a", "b", "c"):
        loaded.submit(request_of(name, 4, 3, adapter=name), 20.0)
    base = loaded.submit(request_of("base", 4, 1), 20.0)
    again = loaded.submit(request_of("a2", 4, 1, adapter="a"), 20.0)
    loaded.step(20.0)
    stats = loaded.stats()
    assert (stats.running, stats.waiting, stats.deferred) == (4, 1, 1)
    assert base.scheduled_at == again.scheduled_at == 20.0
    assert stats.adapters_in_flight == ("a", "b", "c")
    assert len(loaded.step(99.0).finished) == 5


def test_an_adapter_outside_its_slot_is_copied_in_for_the_least_recently_used(
    loaded: Engine, request_of: MakeRequest
) -> None:
    assert loaded.stats().adapters_resident == ("a", "b")
    loaded.submit(request_of("r1", 4, 1, adapter="a"), 20.0)
    loaded.step(30.0)
    loaded.submit(request_of("r2", 4, 1, adapter="c"), 30.0)
    assert loaded.step(30.0).duration == 1.0 + 1.0  # the step and the copy from host memory
    assert loaded.stats().adapters_resident == ("a", "c")


def test_an_adapter_pushed_out_of_host_memory_is_read_from_disk_again(loaded: Engine, request_of: MakeRequest) -> None:
    loaded.load_adapter("d", 20.0)
    assert loaded.stats().adapters_in_host_memory == ("b", "c", "d")
    loaded.submit(request_of("r", 4, 1, adapter="d"), 40.0)
    loaded.step(50.0)  # takes the slot of "a"
    loaded.submit(request_of("s", 4, 1, adapter="a"), 50.0)
    assert loaded.step(50.0).duration == 1.0 + 4.0 + 1.0


def test_unloading_lets_requests_in_flight_finish_and_refuses_new_ones(loaded: Engine, request_of: MakeRequest) -> None:
    state = loaded.submit(request_of("r", 4, 3, adapter="a"), 20.0)
    loaded.step(20.0)
    assert loaded.unload_adapter("a")
    with pytest.raises(UnknownAdapter):
        loaded.submit(request_of("s", 4, 1, adapter="a"), 20.5)
    assert "a" in loaded.stats().adapters_resident
    assert loaded.step(50.0).finished == [state]
    assert "a" not in loaded.stats().adapters_resident + loaded.stats().adapters_in_host_memory


def test_unloading_twice_says_so(loaded: Engine) -> None:
    assert loaded.unload_adapter("a")
    assert not loaded.unload_adapter("a")


def test_loading_again_reads_again(loaded: Engine) -> None:
    assert loaded.load_adapter("a", 50.0) == 5.0
    assert loaded.stats().adapters_in_host_memory == ("b", "c", "a")
