"""Who may have the picker's time while there is not enough of it: the rule, without a clock or a socket.

A busy connection is not a bad one: a gateway sends the requests of all its users down one. What tells them apart is
what comes of the time they take. A connection's `Standing` is an account of CPU time: what is done for it is charged,
its exchanges earn it more than they cost. A flood earns nothing, soon is in debt, and the `Shares` of those in debt
are small as long as others have something to say.
"""

from __future__ import annotations

from typing import Final

PRESSED_SECONDS: Final = 1.0
"""How long after the last sign of it time counts as short."""
QUIET_SECONDS: Final = 0.005
"""When those in good standing have said nothing for so long, the others may have the time."""
_MOST: Final = 50
"""Exchanges whose earnings an account holds at most, so that nobody saves up for a flood."""
_LEAST: Final = -10
"""And at which a debt ends, so that whoever does better is soon heard like everybody else."""
_WELCOME: Final = 0.2
"""Of what an exchange earns: what a connection may take before its first."""
_BYTE_SECONDS: Final = 5e-9
"""What a byte earns: about what it costs to read a prompt that is new. A byte of PINGs or of resets costs several times
as much."""
_CATCH_UP: Final = 0.1
"""Seconds of a share that came too late, because a timer or another's slice took its time, and may still be had."""


class Shares:
    """How much of the time those in debt, and those just come, may have: ``share`` of it each, while it is short.

    Times are seconds of one clock; what is spent is CPU seconds.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._pressed_until = float("-inf")
        self._heard = float("-inf")
        self._heard_of_late = False
        self._next = 0.0
        self._welcome = 0.0
        self._welcomed_at = 0.0

    def press(self, now: float) -> None:
        """Time is short."""
        self._pressed_until = now + PRESSED_SECONDS

    def pressed(self, now: float) -> bool:
        """Say whether time has been short of late."""
        return now < self._pressed_until

    def hear(self, now: float) -> None:
        """Somebody in good standing had something to say."""
        self._heard = now
        self._heard_of_late = True

    def listen(self) -> None:
        """From here on all are heard who have something to say, before `wait` is asked again.

        The time since the last `hear` alone does not tell: in it others may have been served, and sockets not be read.
        """
        self._heard_of_late = False

    def quiet(self, now: float) -> bool:
        """Say whether nobody in good standing has had anything to say of late."""
        return now - self._heard >= QUIET_SECONDS

    def contended(self, now: float) -> bool:
        """Say whether others need the time that somebody in debt would take."""
        return now < self._pressed_until and (self._heard_of_late or now - self._heard < QUIET_SECONDS)

    def wait(self, now: float) -> float:
        """Return after how many seconds somebody in debt may have a slice."""
        if not self.contended(now):
            return 0.0
        quiet = (now if self._heard_of_late else self._heard) + QUIET_SECONDS
        return max(0.0, min(self._next, quiet) - now)

    def spend(self, seconds: float, now: float) -> None:
        """Somebody in debt has had ``seconds``."""
        since = max(self._next, now - _CATCH_UP) if self.contended(now) else now
        self._next = since + seconds / self._share

    def welcome(self, seconds: float, now: float) -> bool:
        """Say whether somebody who has earned nothing yet may have ``seconds`` all the same.

        All such together get no more than the share, so that coming again and again is no way round it.
        """
        level = min(self._welcome + (now - self._welcomed_at) * self._share, _MOST * seconds)
        self._welcomed_at = now
        granted = level >= seconds
        self._welcome = level - seconds if granted else level
        return granted


class Standing:
    """The account of one connection, in CPU seconds.

    ``exchange_seconds`` is what each exchange earns when it is answered, and again each second that it stays open.
    """

    __slots__ = ("_answered", "_at", "_balance", "_entered", "_exchange_seconds", "_shares")

    def __init__(self, exchange_seconds: float, shares: Shares, now: float) -> None:
        self._exchange_seconds = exchange_seconds
        self._shares = shares
        self._at = now
        self._balance = 0.0
        self._answered = 0
        self._entered = False

    @property
    def in_debt(self) -> bool:
        """More was spent than earned."""
        return self._balance < 0

    @property
    def rich(self) -> bool:
        """So much is left that one need not look closely."""
        return self._balance >= self._exchange_seconds * (_MOST // 2)

    def enter(self, now: float) -> None:
        """Give a connection that has earned nothing what it takes to show what it is, as long as there is any left for
        those who come; the others begin in debt."""
        self._entered = True
        seconds = self._exchange_seconds * _WELCOME
        self._balance += seconds if self._shares.welcome(seconds, now) else -seconds

    def charge(self, seconds: float, size: int, answered: int, still_open: int, now: float) -> None:
        """Charge ``seconds`` of CPU for ``size`` bytes of the peer.

        ``answered`` is how many of its exchanges have been answered so far, ``still_open`` how many are open.
        """
        earned = answered - self._answered + (now - self._at) * min(answered, still_open)
        self._answered = answered
        self._at = now
        each = self._exchange_seconds
        self._balance += each * earned + size * _BYTE_SECONDS - seconds
        if self._balance < 0 and not self._entered:
            self.enter(now)
        self._balance = max(each * _LEAST, min(each * _MOST, self._balance))
