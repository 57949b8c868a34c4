"""How often to poll."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.signals.pace import CPU_BUDGET, SLOWEST, Metered, PollCost, stretched


def test_a_small_pool_is_polled_as_often_as_asked() -> None:
    assert stretched(0.05, 8, 0.0005) == 0.05
    assert stretched(0.05, 0, 0.0005) == 0.05


def test_a_large_pool_is_polled_just_so_often_that_half_a_core_does() -> None:
    assert stretched(0.05, 500, 0.0004) == pytest.approx(0.4)


def test_no_pool_is_polled_less_than_once_a_second() -> None:
    assert stretched(0.05, 100_000, 0.01) == SLOWEST


def test_an_interval_asked_for_is_never_shortened() -> None:
    assert stretched(5.0, 100_000, 0.01) == 5.0


@given(st.floats(0.01, 2), st.integers(0, 5000), st.floats(0, 0.01))
def test_the_budget_holds_wherever_the_limit_allows(interval: float, endpoints: int, cost: float) -> None:
    stretch = stretched(interval, endpoints, cost)
    assert stretch >= interval
    assert endpoints * cost / stretch <= CPU_BUDGET * (1 + 1e-9) or stretch == max(interval, SLOWEST)


def test_the_cost_follows_what_polls_take_but_not_one_odd_poll() -> None:
    cost = PollCost(first_guess=0.0005)
    cost.add(1.0)
    assert cost.seconds < 0.0012
    for _ in range(500):
        cost.add(0.0002)
    assert cost.seconds == pytest.approx(0.0002 * PollCost.OUTSIDE, rel=0.01)


async def test_only_the_steps_of_a_task_are_counted() -> None:
    now = 0.0

    async def work() -> str:
        nonlocal now
        now += 2.0
        await asyncio.sleep(0)
        now += 3.0
        return "done"

    async def somebody_else() -> None:
        nonlocal now
        now += 100.0

    metered = Metered(work(), timer=lambda: now)

    async def waiting() -> str:
        return await metered

    answer, _ = await asyncio.gather(waiting(), somebody_else())
    assert answer == "done"
    assert metered.seconds == 5.0


async def test_what_a_wait_raises_reaches_the_work() -> None:
    async def work() -> str:
        try:
            async with asyncio.timeout(0):
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            return "timed out"
        return "waited"

    assert await Metered(work()) == "timed out"


async def test_a_failure_and_a_cancellation_come_out_of_it() -> None:
    async def work() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await Metered(work())

    cleaned = asyncio.Event()

    async def held() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cleaned.set()

    async def waiting() -> None:
        await Metered(held())

    task = asyncio.create_task(waiting())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned.is_set()
