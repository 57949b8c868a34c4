"""Talking to a Kubernetes API server: access, following collections, leader election, reviews of tokens."""

from signalbox.cluster.access import Access, find_access
from signalbox.cluster.api import Api
from signalbox.cluster.codec import Codec
from signalbox.cluster.election import Election, Terms
from signalbox.cluster.errors import ApiFailure, NoAccess, Refused, Unreachable
from signalbox.cluster.follower import Collection, Follower
from signalbox.cluster.lease import LeaseCandidate, lease_name
from signalbox.cluster.reflector import Reflector
from signalbox.cluster.reviews import Reviews, Verdict
from signalbox.cluster.steps import Change, Item, Phase, Put, Removed

__all__ = [
    "Access",
    "Api",
    "ApiFailure",
    "Change",
    "Codec",
    "Collection",
    "Election",
    "Follower",
    "Item",
    "LeaseCandidate",
    "NoAccess",
    "Phase",
    "Put",
    "Reflector",
    "Refused",
    "Removed",
    "Reviews",
    "Terms",
    "Unreachable",
    "Verdict",
    "find_access",
    "lease_name",
]
