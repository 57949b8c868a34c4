"""An exchange whose request is taken back from its server: the client hears why, and nothing stays behind."""

from __future__ import annotations

import pytest
from tests.conftest import BuildPool, Objects
from tests.extproc.one_gateway import BUFFERED, FULL, STREAMED, Gateway, request_body
from tests.extproc.one_room import EVICTING, HandRoom

from signalbox.director import Routed, policy_rules
from signalbox.extproc import BodyBudget
from signalbox.pool import Pool
from signalbox.scheduling import load_policy

OBJECTIVE = "x-llm-d-inference-objective"


@pytest.fixture
def pool(build_pool: BuildPool, objects: Objects) -> Pool:
    """A pool of one endpoint, which takes one request at a time."""
    made = build_pool((0, 0, set()))
    made.put(objects.objective("batch", -1))
    return made


class Two:
    """A sheddable request at the only server, and another that waits."""

    def __init__(self, pool: Pool, mode: int) -> None:
        room, bodies = HandRoom(), BodyBudget(limit=1_000_000)
        self.pool = pool
        self.batch = Gateway(pool, mode, STREAMED, room=room, bodies=bodies, max_body=100_000)
        self.director = room.director = self.batch.director
        self.director.rules = policy_rules(load_policy(EVICTING, name="flow.yaml"), pool)
        self.room = room
        self.urgent = Gateway(pool, mode, STREAMED, room=room, bodies=bodies, max_body=100_000)
        self.urgent.exchange._director = self.urgent.director = self.director
        self.batch.headers(extra={OBJECTIVE: "batch"})
        assert self.batch.body(request_body("m"))

    def take_back(self) -> None:
        self.urgent.headers()
        assert self.urgent.body(request_body("m")) == []
        assert self.room.look() == []
        for ticket, refusal in self.director.recall(1.0):
            assert ticket.serving is not None
            ticket.serving.owner(refusal)


@pytest.mark.parametrize("mode", [FULL, BUFFERED, STREAMED])
@pytest.mark.parametrize("begun", ["nothing", "headers", "body"])
def test_wherever_its_answer_is_the_client_is_told_and_the_place_is_free(pool: Pool, mode: int, begun: str) -> None:
    two = Two(pool, mode)
    if begun != "nothing":
        two.batch.answer_headers(content_type="text/event-stream")
    if begun == "body":
        two.batch.answer_body(b"data: {}\n\n", end=False)
    two.take_back()
    (answer,) = two.batch.call.take()
    immediate = answer.immediate_response
    assert immediate.status.code == 429
    headers = {option.header.key: option.header.raw_value for option in immediate.headers.set_headers}
    assert headers["x-llm-d-request-dropped-reason"] == b"evicted-priority"
    assert b"was taken back from its server" in immediate.body
    assert two.batch.call.status == 0
    (outcome,) = two.room.look()
    assert isinstance(outcome, Routed)
    assert two.urgent.call.take()
    two.urgent.answer_headers()
    two.urgent.answer_body(b"{}")
    assert two.pool.columns.inflight.sum() == 0


def test_an_answer_that_is_complete_is_not_taken_back(pool: Pool) -> None:
    two = Two(pool, FULL)
    two.batch.answer_headers()
    two.batch.answer_body(b"{}")
    two.batch.call.take()
    two.urgent.headers()
    assert two.urgent.body(request_body("m")), "there is room"
    assert two.director.recall(1.0) == []
