"""What sending a request to an endpoint costs, in seconds of waiting: its own and that of others. The derivation is in
docs/least-cost.md; `signalbox.scheduling.scorers.least_cost` makes a scorer of it."""

from signalbox.scheduling.least_cost.answers import Answers, pace_of
from signalbox.scheduling.least_cost.costs import Outlook, Weights, room, seconds, slowness, stall
from signalbox.scheduling.least_cost.few import AnswersFew, room_few, seconds_few
from signalbox.scheduling.least_cost.paces import Paces
from signalbox.scheduling.least_cost.sent import Sent
from signalbox.scheduling.least_cost.slots import Slots
from signalbox.scheduling.least_cost.speeds import Speeds
from signalbox.scheduling.least_cost.strangers import Strangers

__all__ = [
    "Answers",
    "AnswersFew",
    "Outlook",
    "Paces",
    "Sent",
    "Slots",
    "Speeds",
    "Strangers",
    "Weights",
    "pace_of",
    "room",
    "room_few",
    "seconds",
    "seconds_few",
    "slowness",
    "stall",
]
