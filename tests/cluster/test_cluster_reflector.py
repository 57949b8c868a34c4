"""Following one collection: what is asked next, what answers change, and that nothing is ever missed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from signalbox.cluster.errors import Refused, Unreachable
from signalbox.cluster.reflector import (
    FIRST_PAUSE,
    GONE_AFTER,
    HEALTHY_AFTER,
    LONGEST_PAUSE,
    PAGE,
    REFUSALS,
    WATCH_SECONDS,
    Reflector,
)
from signalbox.cluster.steps import List, Pause, Phase, Put, Removed, Watch


@dataclass(frozen=True)
class Thing:
    """An object with nothing in it."""

    name: str
    version: str


GONE = Refused(410, "too old resource version")


def listed(*things: Thing, version: str = "10") -> Reflector[Thing]:
    """A reflector that has listed ``things``."""
    reflector: Reflector[Thing] = Reflector(Random(0))
    assert reflector.step() == List("", PAGE)
    reflector.page(things, version, "")
    return reflector


def watched(*things: Thing) -> Reflector[Thing]:
    """One that watches, besides."""
    reflector = listed(*things)
    assert isinstance(reflector.step(), Watch)
    reflector.opened(100.0)
    return reflector


def test_it_lists_and_then_watches_from_the_version_of_the_list() -> None:
    reflector: Reflector[Thing] = Reflector(Random(0))
    assert not reflector.listed
    assert reflector.phase is Phase.STARTING
    assert reflector.page([Thing("a", "1")], "10", "") == [Put(Thing("a", "1"))]
    assert reflector.listed
    step = reflector.step()
    assert isinstance(step, Watch)
    assert step.version == "10"
    assert WATCH_SECONDS[0] <= step.seconds <= WATCH_SECONDS[1]
    reflector.opened(1.0)
    assert reflector.phase is Phase.FOLLOWED


def test_a_long_list_comes_in_pages_and_is_complete_with_the_last() -> None:
    reflector: Reflector[Thing] = Reflector(Random(0))
    assert reflector.page([Thing("a", "1")], "10", "next") == [Put(Thing("a", "1"))]
    assert not reflector.listed
    assert reflector.step() == List("next", PAGE)
    assert reflector.page([Thing("b", "2")], "10", "") == [Put(Thing("b", "2"))]
    assert reflector.listed


def test_a_second_list_tells_only_what_differs() -> None:
    reflector = watched(Thing("same", "1"), Thing("changed", "2"), Thing("gone", "3"))
    reflector.failed(GONE, 101.0)
    assert reflector.step() == List("", PAGE)
    changes = reflector.page([Thing("same", "1"), Thing("changed", "8"), Thing("new", "9")], "20", "")
    assert changes == [Put(Thing("changed", "8")), Put(Thing("new", "9")), Removed("gone")]
    assert len(reflector) == 3


def test_events_change_objects_and_move_the_version_on() -> None:
    reflector = watched(Thing("a", "1"))
    assert reflector.happened("ADDED", Thing("b", "11")) == [Put(Thing("b", "11"))]
    assert reflector.happened("MODIFIED", Thing("a", "12")) == [Put(Thing("a", "12"))]
    assert reflector.happened("DELETED", Thing("b", "13")) == [Removed("b")]
    assert reflector.happened("DELETED", Thing("never seen", "14")) == []
    reflector.bookmarked("20")
    assert (reflector.events, reflector.bookmarks) == (4, 1)
    reflector.failed(Unreachable("reset"), 101.0)
    reflector.step()
    step = reflector.step()
    assert isinstance(step, Watch)
    assert step.version == "20"


def test_a_watch_that_ends_as_it_was_asked_to_is_resumed_at_once() -> None:
    reflector = watched()
    reflector.ended(100.0 + HEALTHY_AFTER)
    assert isinstance(reflector.step(), Watch)
    assert reflector.phase is Phase.FOLLOWED
    assert reflector.stale_seconds(200.0) == 0


def test_watches_that_end_as_soon_as_they_begin_are_spaced_out() -> None:
    reflector = watched()
    pauses = []
    for _ in range(3):
        reflector.ended(100.1)
        step = reflector.step()
        assert isinstance(step, Pause)
        pauses.append(step.seconds)
        assert isinstance(reflector.step(), Watch)
        reflector.opened(100.0)
    assert FIRST_PAUSE / 2 <= pauses[0] <= FIRST_PAUSE
    assert pauses[0] < pauses[2]


def test_pauses_double_up_to_a_bound_and_one_event_ends_them() -> None:
    reflector = watched()
    for failure in range(12):
        reflector.failed(Unreachable("refused"), 100.0 + failure)
        step = reflector.step()
        assert isinstance(step, Pause)
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2**failure)
        assert longest / 2 <= step.seconds <= longest
    reflector.step()
    reflector.opened(200.0)
    reflector.bookmarked("11")
    reflector.failed(Unreachable("refused"), 201.0)
    step = reflector.step()
    assert isinstance(step, Pause)
    assert step.seconds <= FIRST_PAUSE


def test_a_server_that_asks_for_time_gets_it() -> None:
    reflector = watched()
    reflector.failed(Refused(429, "too many requests", retry_after=7.0), 101.0)
    step = reflector.step()
    assert isinstance(step, Pause)
    assert step.seconds >= 7.0


def test_a_network_that_is_down_for_long_does_not_cost_a_list() -> None:
    reflector = watched(Thing("a", "1"))
    for failure in range(20):
        reflector.failed(Unreachable("no route to host"), 101.0 + failure)
        reflector.step()
        assert isinstance(reflector.step(), Watch)


@pytest.mark.parametrize("code", [500, 403, 401])
def test_a_version_that_the_server_fails_at_twice_is_dropped(code: int) -> None:
    reflector = watched()
    reflector.failed(Refused(code, "no"), 101.0)
    reflector.step()
    assert isinstance(reflector.step(), Watch)
    reflector.failed(Refused(code, "no"), 102.0)
    reflector.step()
    assert isinstance(reflector.step(), List)


def test_a_list_that_is_outlived_by_the_servers_memory_is_asked_for_whole() -> None:
    reflector: Reflector[Thing] = Reflector(Random(0))
    reflector.page([Thing("a", "1")], "10", "next")
    reflector.failed(GONE, 1.0)
    reflector.step()
    assert reflector.step() == List("", 0)
    assert reflector.page([Thing("b", "2")], "11", "") == [Put(Thing("b", "2")), Removed("a")]


def test_bytes_that_are_no_event_lead_to_a_list() -> None:
    reflector = watched()
    reflector.unreadable("event: broken", 101.0)
    assert isinstance(reflector.step(), Pause)
    assert isinstance(reflector.step(), List)
    assert reflector.problem == "event: broken"


def test_a_kind_that_is_not_installed_is_empty_and_asked_for_now_and_then() -> None:
    reflector: Reflector[Thing] = Reflector(Random(0), absent_seconds=8.0)
    assert reflector.failed(Refused(404, "page not found"), 1.0) == []
    assert str(reflector.phase) == Phase.ABSENT
    assert reflector.listed
    assert reflector.stale_seconds(100.0) == 0
    step = reflector.step()
    assert isinstance(step, Pause)
    assert 6.0 <= step.seconds <= 10.0
    assert isinstance(reflector.step(), List)
    reflector.page([Thing("a", "1")], "5", "")
    reflector.step()
    reflector.opened(20.0)
    assert reflector.phase is Phase.FOLLOWED


def pause(reflector: Reflector[Thing]) -> float:
    """The pause that comes next, in seconds; 0 for none."""
    step = reflector.step()
    return step.seconds if isinstance(step, Pause) else 0.0


def test_an_outage_is_forgiven_once_a_list_or_a_watch_went_well() -> None:
    for relisted in (True, False):
        reflector = watched(Thing("a", "1"))
        for failure in range(12):
            reflector.failed(Unreachable("refused"), 200.0 + failure)
        assert pause(reflector) > FIRST_PAUSE
        if relisted:
            reflector.unreadable("half a line", 300.0)
            pause(reflector)
            reflector.page([Thing("a", "1")], "20", "")
        else:
            reflector.opened(300.0)
        reflector.failed(Unreachable("reset"), 300.5)
        assert 0 < pause(reflector) <= 2 * FIRST_PAUSE


def test_a_list_forgives_nothing_while_the_watches_after_it_come_to_nothing() -> None:
    """As where list is allowed and watch is not: the server is not to be asked for everything twice a second."""
    reflector = listed(Thing("a", "1"))
    longest = 0.0
    for _ in range(40):
        match reflector.step():
            case Pause(seconds):
                longest = max(longest, seconds)
            case List():
                reflector.page([Thing("a", "1")], "10", "")
            case Watch():
                reflector.failed(Refused(403, "forbidden"), 101.0)
    assert longest >= LONGEST_PAUSE / 2


def test_a_watch_that_stood_for_long_is_not_punished_for_its_predecessors() -> None:
    reflector = watched(Thing("a", "1"))
    now = 100.0
    for _ in range(10):
        now += 60.0
        reflector.unreadable("no event", now)
        assert 0 < pause(reflector) <= FIRST_PAUSE
        reflector.page([Thing("a", "1")], "10", "")
        reflector.opened(now)


def test_after_an_outage_forgotten_history_is_listed_at_once_and_is_no_problem() -> None:
    reflector = watched(Thing("a", "1"))
    for failure in range(12):
        reflector.failed(Unreachable("refused"), 200.0 + failure)
        pause(reflector)
    assert reflector.failed(GONE, 240.0) == []
    assert reflector.step() == List("", PAGE)
    assert (reflector.problem, reflector.forgotten) == ("", 1)
    assert reflector.stale_seconds(240.0) == 40.0
    reflector.failed(Unreachable("not up yet"), 240.0)
    assert 0 < pause(reflector) <= FIRST_PAUSE


def test_a_server_that_forgets_what_it_has_just_said_is_given_time() -> None:
    reflector = watched(Thing("a", "1"))
    reflector.failed(GONE, 101.0)
    reflector.page([Thing("a", "1")], "20", "")
    reflector.failed(GONE, 101.0)
    assert pause(reflector) > 0
    assert isinstance(reflector.step(), List)


def test_a_kind_that_is_uninstalled_takes_its_objects_with_it_once_that_is_sure() -> None:
    reflector = watched(Thing("a", "1"))
    reflector.failed(Refused(404, "page not found"), 110.0)  # of the watch
    for now in (111.0, 112.0, 111.0 + GONE_AFTER - 0.1):
        pause(reflector)
        assert isinstance(reflector.step(), List)
        assert reflector.failed(Refused(404, "page not found"), now) == []
        assert reflector.phase is Phase.BROKEN
    assert reflector.stale_seconds(120.0) == 10.0
    assert reflector.failed(Refused(404, "page not found"), 111.0 + GONE_AFTER) == [Removed("a")]
    assert str(reflector.phase) == Phase.ABSENT
    assert reflector.stale_seconds(200.0) == 0


@pytest.mark.parametrize("builtin", [False, True])
def test_a_proxys_404_and_one_for_a_builtin_kind_take_nothing(builtin: bool) -> None:
    reflector: Reflector[Thing] = Reflector(Random(0), builtin=builtin)
    reflector.page([Thing("pool", "1")], "10", "")
    reflector.opened(100.0)
    for now in range(200, 400, 10):
        assert reflector.failed(Refused(404, "<html>", genuine=builtin), float(now)) == []
        pause(reflector)
    assert len(reflector) == 1
    assert reflector.stale_seconds(400.0) == 200.0


def test_before_the_first_list_such_a_404_leaves_it_unknown() -> None:
    reflector: Reflector[Thing] = Reflector(Random(0))
    reflector.failed(Refused(404, "<html>", genuine=False), 1.0)
    assert not reflector.listed
    assert reflector.phase is Phase.STARTING


def test_what_may_not_be_seen_any_more_stays_as_it_was_seen_and_is_stale() -> None:
    reflector = watched(Thing("a", "1"))
    reflector.failed(Refused(403, "forbidden"), 110.0)
    pause(reflector)
    reflector.failed(Refused(403, "forbidden"), 111.0)
    pause(reflector)
    assert isinstance(reflector.step(), List)
    assert reflector.failed(Refused(403, "forbidden"), 112.0) == []
    assert reflector.phase is Phase.FORBIDDEN
    assert len(reflector) == 1
    assert reflector.stale_seconds(1110.0) == 1000.0
    reflector.page([Thing("a", "1")], "20", "")
    reflector.opened(1200.0)
    assert reflector.stale_seconds(1300.0) == 0


def test_a_kind_never_seen_is_not_allowed_only_once_that_was_said_repeatedly() -> None:
    reflector: Reflector[Thing] = Reflector(Random(0), absent_seconds=8.0)
    for _ in range(REFUSALS - 1):
        reflector.failed(Refused(403, "forbidden"), 1.0)
        assert reflector.phase is Phase.FORBIDDEN
        assert not reflector.listed
        assert 0 < pause(reflector) <= 2 * FIRST_PAUSE
    reflector.failed(Refused(403, "forbidden"), 3.0)
    assert reflector.listed
    assert pause(reflector) >= 6.0
    assert reflector.stale_seconds(100.0) == 0, "there is nothing that could be out of date"


def test_it_is_stale_from_the_break_to_the_next_watch() -> None:
    reflector = watched()
    assert reflector.stale_seconds(150.0) == 0
    reflector.failed(Unreachable("reset"), 160.0)
    assert reflector.phase is Phase.BROKEN
    reflector.failed(Unreachable("refused"), 170.0)
    assert reflector.stale_seconds(175.0) == 15.0
    reflector.opened(180.0)
    assert reflector.stale_seconds(190.0) == 0
    assert reflector.problem == ""


class Following(RuleBasedStateMachine):
    """A server with a history that it forgets, a network that breaks: once it is quiet, both sides agree."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.version = 1
        self.objects: dict[str, str] = {}
        self.history: list[tuple[int, str, Thing]] = []
        self.forgotten = 1
        self.reflector: Reflector[Thing] = Reflector(Random(1))
        self.mirror: dict[str, str] = {}
        self.position: int | None = None
        self.listing = 0

    def take(self, changes: list[Put[Thing] | Removed]) -> None:
        """Apply changes as a consumer does."""
        for change in changes:
            if isinstance(change, Put):
                self.mirror[change.item.name] = change.item.version
            else:
                del self.mirror[change.name]

    @rule(name=st.sampled_from("abcd"))
    def put(self, name: str) -> None:
        self.version += 1
        kind = "MODIFIED" if name in self.objects else "ADDED"
        self.objects[name] = str(self.version)
        self.history.append((self.version, kind, Thing(name, str(self.version))))

    @precondition(lambda self: self.objects)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.objects)))
        self.version += 1
        del self.objects[name]
        self.history.append((self.version, "DELETED", Thing(name, str(self.version))))

    @rule()
    def compact(self) -> None:
        self.forgotten = self.version

    @precondition(lambda self: self.position is not None)
    @rule()
    def break_off(self) -> None:
        self.position = None
        self.reflector.failed(Unreachable("reset"), self.now)

    @precondition(lambda self: self.position is not None)
    @rule()
    def end(self) -> None:
        self.position = None
        self.reflector.ended(self.now)

    @precondition(lambda self: self.position is not None)
    @rule(count=st.integers(1, 4), bookmark=st.booleans())
    def deliver(self, count: int, bookmark: bool) -> None:
        assert self.position is not None
        for version, kind, thing in self.history:
            if version > self.position and count:
                self.take(self.reflector.happened(kind, thing))
                self.position = version
                count -= 1
        if bookmark and self.position == max([self.position, *(version for version, _, _ in self.history)]):
            self.position = self.version
            self.reflector.bookmarked(str(self.version))

    @rule(refuse=st.sampled_from([None, None, None, 500, 410, 429]))
    def go_on(self, refuse: int | None) -> None:
        if self.position is not None:
            return
        self.now += 1.0
        match self.reflector.step():
            case Pause(seconds):
                self.now += seconds
            case List() if refuse:
                self.reflector.failed(Refused(refuse, "no"), self.now)
            case List(more, limit):
                names = [name for name in sorted(self.objects) if name > more]  # a page goes on behind a name
                size = 2 if limit else len(names)
                page = [Thing(name, self.objects[name]) for name in names[:size]]
                # A real server shows one version on all pages; here the later pages are as new as they are asked for,
                # which is why the watch goes on from the version of the first.
                self.listing = self.version if not more else self.listing
                self.take(self.reflector.page(page, str(self.listing), names[size - 1] if names[size:] else ""))
            case Watch(version, _) if refuse or int(version) < self.forgotten:
                self.reflector.failed(GONE if int(version) < self.forgotten else Refused(refuse or 500, ""), self.now)
            case Watch(version, _):
                self.reflector.opened(self.now)
                self.position = int(version)

    @invariant()
    def what_was_told_is_what_is_known(self) -> None:
        assert len(self.reflector) >= 0
        if self.position is not None and self.position >= self.version:
            assert self.mirror == self.objects

    def teardown(self) -> None:
        """Left in peace, it catches up within a bounded number of steps."""
        for _ in range(60):
            if self.position is None:
                self.go_on(None)
            else:
                self.deliver(len(self.history) + 1, bookmark=True)
        assert self.position is not None
        assert self.mirror == self.objects


TestFollowing = Following.TestCase
TestFollowing.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
