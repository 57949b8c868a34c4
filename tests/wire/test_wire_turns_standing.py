"""What those who earn nothing may take from the others: the rule by itself, and at work in virtual time.

Nothing here depends on how fast the machine is: time passes only where a service says what it costs.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.wire.virtual_time import Asker, Attack, Flood, Machine, pieces, resets

from signalbox.wire import Limits
from signalbox.wire.turns_standing import QUIET_SECONDS, Shares, Standing

EACH = Limits().exchange_seconds
SHARE = Limits().debtors_share


def standing(shares: Shares | None = None) -> Standing:
    return Standing(EACH, shares or Shares(SHARE), 0.0)


class TestStanding:
    def test_what_is_done_for_a_connection_without_exchanges_puts_it_in_debt(self) -> None:
        account = standing()
        account.charge(EACH, size=1000, answered=0, still_open=0, now=0.0)
        assert account.in_debt

    def test_exchanges_earn_when_they_are_answered(self) -> None:
        account = standing()
        account.charge(EACH, size=0, answered=0, still_open=3, now=0.0)
        assert account.in_debt, "none of the three is answered"
        account.charge(EACH / 10, size=0, answered=3, still_open=3, now=0.0)
        assert not account.in_debt

    def test_an_answer_earns_once(self) -> None:
        account = standing()
        account.charge(EACH / 2, size=0, answered=1, still_open=0, now=0.0)
        assert not account.in_debt
        account.charge(EACH, size=0, answered=1, still_open=0, now=0.0)
        assert account.in_debt

    def test_long_answers_earn_as_long_as_they_are_open(self) -> None:
        """A gateway that streams a thousand answers sends hundreds of messages for each of them."""
        account = standing()
        account.charge(0.0, size=0, answered=1000, still_open=1000, now=0.0)
        for second in range(1, 20):
            account.charge(0.5, size=0, answered=1000, still_open=1000, now=float(second))
            assert not account.in_debt

    def test_streams_that_are_only_held_open_earn_nothing(self) -> None:
        account = standing()
        account.charge(0.0, size=0, answered=0, still_open=10_000, now=0.0)
        account.charge(EACH, size=0, answered=0, still_open=10_000, now=60.0)
        assert account.in_debt

    def test_long_bodies_pay_for_themselves(self) -> None:
        """A body's megabyte takes a few ms, most of it when its last byte has come."""
        account = standing()
        for _ in range(64):
            account.charge(20e-6, size=16 * 1024, answered=0, still_open=1, now=0.0)
        account.charge(3e-3, size=16 * 1024, answered=0, still_open=1, now=0.0)
        assert not account.in_debt

    def test_nobody_saves_up_for_a_flood(self) -> None:
        account = standing()
        account.charge(0.0, size=0, answered=10**6, still_open=0, now=3600.0)
        assert account.rich
        account.charge(0.3, size=0, answered=10**6, still_open=0, now=3600.0)
        assert account.in_debt

    def test_a_debt_is_soon_worked_off(self) -> None:
        account = standing()
        account.charge(100.0, size=0, answered=0, still_open=0, now=0.0)
        account.charge(0.0, size=0, answered=11, still_open=0, now=0.0)
        assert not account.in_debt

    def test_who_comes_while_time_is_short_has_a_little_to_begin_with(self) -> None:
        shares = Shares(SHARE)
        shares.welcome(EACH, 0.0)
        newcomers = [standing(shares) for _ in range(1000)]
        for number, account in enumerate(newcomers):
            account.enter(number / 1000)
        welcome = sum(not account.in_debt for account in newcomers)
        assert 20 <= welcome <= 60, "a share of the second, a fifth of an exchange each"
        late = newcomers[-1]
        late.charge(EACH / 10, size=500, answered=1, still_open=0, now=1.0)
        assert not late.in_debt, "and one answer makes up for it"


class TestShares:
    def test_nobody_waits_while_there_is_time(self) -> None:
        shares = Shares(SHARE)
        shares.hear(1.0)
        shares.spend(1.0, 1.0)
        assert not shares.wait(1.0)

    def test_while_others_are_heard_those_in_debt_have_their_share(self) -> None:
        shares = Shares(SHARE)
        had = now = 0.0
        while now < 10:
            shares.press(now)
            shares.hear(now)
            if not shares.wait(now):
                shares.spend(0.001, now)
                had += 0.001
            now += 0.0005
        assert had == pytest.approx(10 * SHARE, rel=0.02)

    def test_when_the_others_are_quiet_they_have_everything(self) -> None:
        shares = Shares(SHARE)
        shares.press(0.0)
        shares.hear(0.0)
        shares.listen()
        shares.spend(1.0, 0.0)
        assert shares.wait(0.0) == pytest.approx(QUIET_SECONDS)
        assert not shares.wait(QUIET_SECONDS)

    def test_whoever_was_heard_since_the_sockets_were_last_read_is_not_quiet(self) -> None:
        shares = Shares(SHARE)
        shares.press(0.0)
        shares.listen()
        shares.hear(0.0)
        shares.spend(1.0, 0.0)
        assert shares.wait(0.5), "serving it took half a second"
        shares.listen()
        assert not shares.wait(0.5)

    def test_what_they_had_meanwhile_is_not_held_against_them(self) -> None:
        shares = Shares(SHARE)
        for number in range(100):
            shares.press(float(number))
            shares.spend(0.01, float(number))
        shares.hear(99.0)
        assert shares.wait(99.0) <= 0.01 / SHARE


# ---- in virtual time

ATTACKS: dict[str, Attack] = {
    "pieces": pieces(20),
    "costly pieces": pieces(500),
    "resets": resets(20),
    "costly resets": resets(300),
}


@pytest.mark.parametrize("size", [256 * 1024, 5_000], ids=["long reads", "short reads"])
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_a_flood_has_its_share_and_the_others_keep_their_time(attack: Attack, size: int) -> None:
    machine = Machine()
    floods = [Flood(machine, attack, size) for _ in range(4)]
    gateway = Asker(machine, per_second=1000, microseconds=200)
    machine.run(3)
    settled = len(gateway.waits)
    before = sum(flood.all_had for flood in floods)
    machine.run(2)
    had = (sum(flood.all_had for flood in floods) - before) / 2
    assert had <= 2 * SHARE + 0.01, "what those in debt have, and what those have who come anew"
    assert had >= SHARE / 2, "but they are not shut out"
    waits = sorted(gateway.waits[settled:])
    assert len(waits) >= 1990
    assert waits[len(waits) // 2] < 0.001
    assert not gateway.ever_in_debt


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    attackers=st.integers(1, 8),
    kind=st.sampled_from([pieces, resets]),
    microseconds=st.integers(10, 400),
    size=st.sampled_from([200, 3_000, 16_000, 70_000, 256 * 1024]),
    per_second=st.integers(250, 3000),
    load=st.floats(0.05, 0.8),
)
def test_whatever_a_flood_does_an_honest_connection_gets_its_answers(
    attackers: int, kind: type, microseconds: int, size: int, per_second: int, load: float
) -> None:
    """A gateway that asks for up to 0.8 of the time gets all of it."""
    machine = Machine()
    floods = [Flood(machine, kind(microseconds), size) for _ in range(attackers)]
    gateway = Asker(machine, per_second, microseconds=int(load / per_second / 2 * 1e6))
    machine.run(3)
    asked = 3 * per_second
    assert len(gateway.waits) >= asked * 0.95
    assert sum(flood.all_had for flood in floods) > 0
    late = gateway.waits[asked // 2 :]
    assert sum(late) / len(late) < 0.01


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_an_idle_machine_gives_a_flood_the_rest(attack: Attack) -> None:
    machine = Machine()
    floods = [Flood(machine, attack) for _ in range(3)]
    machine.run(1)
    assert sum(flood.all_had for flood in floods) > 0.8


def test_those_in_debt_share_alike_and_none_starves_while_others_want_everything() -> None:
    machine = Machine()
    floods = [Flood(machine, pieces(20)) for _ in range(5)]
    Asker(machine, per_second=5000, microseconds=200)
    machine.run(1)
    before = [flood.had for flood in floods]
    machine.run(4)
    had = [flood.had - at for flood, at in zip(floods, before, strict=True)]
    assert sum(had) / 4 == pytest.approx(SHARE, rel=0.3)
    assert max(had) - min(had) <= 0.01


def test_busy_gateways_that_do_what_they_are_for_are_never_in_debt() -> None:
    """Between them they want more than there is: one for short answers, one for streamed ones, one that is slow."""
    machine = Machine()
    short = Asker(machine, per_second=4000, microseconds=100)
    streamed = Asker(machine, per_second=50, microseconds=20, messages=200)
    slow = Asker(machine, per_second=200, microseconds=1000)
    machine.run(3)
    assert machine.cpu > 2.9
    assert [peer.ever_in_debt for peer in (short, streamed, slow)] == [False] * 3


def test_a_gateway_that_comes_during_a_flood_is_soon_heard() -> None:
    machine = Machine()
    for _ in range(4):
        Flood(machine, resets(100))
    Asker(machine, per_second=1000, microseconds=200)
    machine.run(2)
    newcomer = Asker(machine, per_second=500, microseconds=200)
    machine.run(1)
    assert newcomer.waits[0] < 0.2
    assert max(newcomer.waits[100:]) < 0.02
    assert not newcomer.protocol.in_debt
