"""Prompts are cut as if each were the first, whatever was cut before, and known beginnings are not gone through."""

from __future__ import annotations

import json
from typing import Any

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from signalbox.payloads import Request, read_prompt, read_request
from signalbox.scheduling.prefix import Cutter, cutting, hash_prompt
from signalbox.scheduling.prefix.recent import Recent

CHAT, RESPONSES, COMPLETIONS = "/v1/chat/completions", "/v1/responses", "/v1/completions"
BLOCK = 4  # tokens: 16 bytes
STRIDE = 64


def asking(path: str, spaces: str = "", **fields: Any) -> Request:
    """A request, with these spaces wherever JSON allows some."""
    text = json.dumps({"model": "m", **fields}, separators=(f"{spaces},{spaces}", f"{spaces}:{spaces}"))
    return read_request(path, text.encode())


def chat(*messages: Any, **fields: Any) -> Request:
    return asking(CHAT, messages=list(messages), **fields)


def said(*texts: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]


TEXTS = st.one_of(st.text('ab\n"\\é', max_size=90), st.sampled_from(["x" * 16, "y" * 300, "},{", '"],[', ""]))
MESSAGES = st.one_of(
    st.builds(lambda role, content: {"role": role, "content": content}, st.sampled_from(["user", "assistant"]), TEXTS),
    st.builds(lambda content: {"content": content, "name": "n", "role": "tool", "tool_call_id": "1"}, TEXTS),
    st.builds(lambda text: {"role": "user", "content": [{"type": "text", "text": text}]}, TEXTS),
    st.just({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://a"}}]}),
    st.sampled_from([{}, {"content": None}]),
)
FIELDS: list[dict[str, Any]] = [{}, {}, {"cache_salt": "s"}, {"instructions": "be brief" * 5}, {"tools": [1] * 50}]


@st.composite
def turns(draw: st.DrawFn) -> list[Request]:
    """Requests that begin alike, as clients send them and as they do not."""
    pool = draw(st.lists(MESSAGES, min_size=1, max_size=6))
    found = []
    for _ in range(draw(st.integers(1, 8))):
        messages: Any = pool[: draw(st.integers(1, len(pool)))] + draw(st.lists(MESSAGES, max_size=2))
        match draw(st.integers(0, 9)):
            case 0:
                messages.append(draw(st.sampled_from(["text", 7, None, [1]])))  # no message: all is taken as text
            case 1:
                messages = draw(TEXTS)
        fields: dict[str, Any] = draw(st.sampled_from(FIELDS))
        path, name = draw(st.sampled_from([(CHAT, "messages"), (RESPONSES, "input")]))
        if path == CHAT and not isinstance(messages, list):
            path, name = COMPLETIONS, "prompt"
        found.append(asking(path, draw(st.sampled_from(["", " ", "\n  ", " " * 90])), **{name: messages}, **fields))
    return found


@given(requests=turns(), remembered=st.sampled_from([32, 64, 1000]), most=st.sampled_from([0, 5, 9, 40, 10_000]))
def test_whatever_was_cut_before_a_prompt_is_cut_as_if_it_were_the_first(
    requests: list[Request], remembered: int, most: int
) -> None:
    cutter = Cutter(remembered, STRIDE)
    for request in [*requests, *requests, *requests[::-1]]:
        expected = hash_prompt(read_prompt(request), "m", BLOCK, most)
        assert cutter.cut(request, "m", BLOCK, most) == expected


@given(texts=st.lists(TEXTS, min_size=1, max_size=6), spaces=st.sampled_from([" ", "\n\t", " " * 70]))
def test_equal_prompts_are_equal_however_their_json_is_spelt(texts: list[str], spaces: str) -> None:
    cutter = Cutter(stride=STRIDE)
    compact, wide = asking(CHAT, messages=said(*texts)), asking(CHAT, spaces, messages=said(*texts))
    for _ in range(3):
        assert cutter.cut(compact, "m", BLOCK) == cutter.cut(wide, "m", BLOCK)


def test_models_and_salts_are_kept_apart() -> None:
    cutter, messages = Cutter(stride=STRIDE), said("x" * 100, "y" * 100)
    chains = []
    for _ in range(3):
        for model, fields in (("a", {}), ("b", {}), ("a", {"cache_salt": "s"}), ("a", {"system": "s"})):
            request = chat(*messages, **fields)
            assert cutter.cut(request, model, BLOCK) == hash_prompt(read_prompt(request), model, BLOCK)
            chains.append(cutter.cut(request, model, BLOCK).chains[0][0])
    assert len(set(chains)) == 4


def test_another_block_size_begins_anew() -> None:
    cutter, request = Cutter(stride=STRIDE), chat(*said("x" * 500, "y" * 500))
    for size in (BLOCK, BLOCK, BLOCK, 2 * BLOCK, 2 * BLOCK, BLOCK):
        assert cutter.cut(request, "m", size) == hash_prompt(read_prompt(request), "m", size)


@pytest.mark.parametrize("size", [0, -1])
def test_a_block_needs_a_token(size: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Cutter().cut(chat(*said("x")), "m", size)


class Reads:
    """Counts the bytes of messages that were taken apart, and of text that was hashed."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.taken_apart = self.hashed = 0
        for name in ("read_items", "read_items_and_ends"):
            patch.setattr(cutting, name, self._counting(getattr(cutting, name)))
        plain = xxhash.xxh64_intdigest

        def digest(data: bytes, seed: int = 0) -> int:
            self.hashed += len(data)
            return plain(data, seed)

        patch.setattr(xxhash, "xxh64_intdigest", digest)

    def _counting(self, read: Any) -> Any:
        def counted(value: Any) -> Any:
            self.taken_apart += len(value)
            return read(value)

        return counted

    def since(self) -> tuple[int, int]:
        """What was read since the last call."""
        found = (self.taken_apart, self.hashed)
        self.taken_apart = self.hashed = 0
        return found


class TestWhatIsRead:
    def test_a_long_conversation_is_gone_through_twice_and_then_only_its_end(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reads, cutter = Reads(monkeypatch), Cutter()
        history = said(*[f"{turn:04d}" * 500 for turn in range(50)])  # 100 KB
        for turn in range(5):
            cutter.cut(chat(*history, {"role": "user", "content": f"question {turn}"}), "m")
            apart, hashed = reads.since()
            if turn == 0:
                assert apart > 100_000
                assert hashed > 100_000
            elif turn == 1:
                assert hashed < 20_000, "hashes are known at the second time"
            else:
                assert apart < cutting.STRIDE + 4_000
                assert hashed < 20_000

    def test_a_conversation_that_grows_is_read_from_where_it_was_known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        reads, cutter = Reads(monkeypatch), Cutter()
        history = said(*[f"{turn:04d}" * 500 for turn in range(60)])
        for length in range(2, 60, 2):
            cutter.cut(chat(*history[:length]), "m")
        apart, hashed = reads.since()
        assert apart < 1_000_000, "of 1.7 MB"
        assert hashed < 500_000

    def test_one_long_text_is_hashed_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        reads, cutter = Reads(monkeypatch), Cutter()
        for request in (asking(COMPLETIONS, prompt="word " * 20_000), chat(*said("text " * 20_000))):
            cutter.cut(request, "m")
            assert reads.since()[1] > 100_000
            cutter.cut(request, "m")
            assert reads.since()[1] < 16_000


def digests(count: int, start: int = 0) -> list[int]:
    """As good as random, like those of text."""
    return [xxhash.xxh64_intdigest(b"%d" % number) for number in range(start, start + count)]


class TestRecent:
    def test_what_was_put_last_is_there_and_never_more_than_there_is_room_for(self) -> None:
        recent: Recent[int] = Recent(320)
        for digest in digests(2_000):
            recent.put(digest, digest)
            assert len(recent) <= 320
        assert [recent.get(digest) for digest in digests(20, 1_980)] == digests(20, 1_980)
        assert not any(recent.get(digest) for digest in digests(1_000))

    def test_what_is_used_stays(self) -> None:
        recent: Recent[str] = Recent(320)
        recent.put(1, "kept")
        for digest in digests(2_000):
            recent.put(digest, "other")
            assert recent.get(1) == "kept"

    def test_at_no_moment_is_much_forgotten(self) -> None:
        recent: Recent[str] = Recent(3_200)
        known = 0
        for digest in digests(10_000):
            recent.put(digest, "x")
            assert len(recent) > known - 110, "a sixteenth of a half"
            known = len(recent)

    def test_forgets_everything_when_told(self) -> None:
        recent: Recent[str] = Recent(320)
        for digest in digests(6):
            recent.put(digest, "x")
        recent.clear()
        assert len(recent) == 0
        assert not any(recent.get(digest) for digest in digests(6))
