import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.modelserver import tokenizer
from signalbox.modelserver.continuation import Continuation, continuation
from signalbox.modelserver.tokenizer import BEGIN_OF_TEXT, END_OF_TURN, Tokenizer

PARAGRAPH = (
    "Write as if you were a critic: San Francisco. The fog rolls in over the bridge, the restaurants fill up, and an "
    "honest plate of sourdough costs more than it should."
)


def test_a_token_is_about_four_characters() -> None:
    tokens = Tokenizer().encode(PARAGRAPH, add_special_tokens=False)
    assert 3.5 < len(PARAGRAPH) / len(tokens) < 5


def test_a_prompt_begins_with_the_begin_of_text_token() -> None:
    assert Tokenizer().encode("a")[0] == BEGIN_OF_TEXT
    assert Tokenizer().encode("<|eot_id|>", add_special_tokens=False) == [END_OF_TURN]


def test_ids_are_the_same_in_every_process() -> None:
    assert Tokenizer().encode(" train signal", add_special_tokens=False) == [4907, 21172]


@given(st.text())
def test_tokens_turn_back_into_their_text(text: str) -> None:
    one = Tokenizer()
    tokens = one.encode(text)
    if len(set(tokens)) == len(set(one.pieces(tokens))):  # no two pieces fell on one id
        assert one.decode(tokens) == text.replace("<|eot_id|>", "").replace("<|begin_of_text|>", "")


@given(st.text(), st.integers(1, 5), st.booleans())
def test_a_long_text_has_the_tokens_of_a_short_one(text: str, stretch: int, begin: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizer, "LONG_TEXT", 0)
        patch.setattr(tokenizer, "_STRETCH", stretch)
        found = asyncio.run(Tokenizer().encode_in_turns(text, add_special_tokens=begin))
    assert found == Tokenizer().encode(text, add_special_tokens=begin)


async def test_others_get_their_turn_while_a_long_text_is_encoded() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    await Tokenizer().encode_in_turns("x" * tokenizer.LONG_TEXT)
    assert turns <= 1, "what takes no time is done at once"
    tokens = await Tokenizer().encode_in_turns("word " * (tokenizer.LONG_TEXT // 2))
    assert turns >= len(tokens) // tokenizer._STRETCH
    task.cancel()


def test_an_unknown_id_is_a_replacement_character() -> None:
    assert Tokenizer().decode([5]) == "\ufffd"


def test_an_answer_depends_on_its_key_and_seed_only() -> None:
    answer = continuation(b"prompt", 1, 50)
    assert answer == continuation(b"prompt", 1, 50)
    assert answer.text(0, 50) != continuation(b"prompt", 2, 50).text(0, 50)
    assert answer.text(0, 50) != continuation(b"another", 1, 50).text(0, 50)


def test_a_longer_limit_only_goes_on(some_keys: list[bytes]) -> None:
    for key in some_keys:
        short, long = continuation(key, 0, 10), continuation(key, 0, 400)
        assert long.text(0, 400).startswith(short.text(0, 10))


@pytest.fixture
def some_keys() -> list[bytes]:
    return [str(number).encode() for number in range(2000)]


def test_answers_end_by_themselves_after_200_tokens_on_average(some_keys: list[bytes]) -> None:
    lengths = [continuation(key, 0, 100_000).length for key in some_keys]
    assert 185 < sum(lengths) / len(lengths) < 215
    assert min(lengths) >= 2  # at least one token of text and the end-of-turn token


def test_finish_reasons(some_keys: list[bytes]) -> None:
    answers = [continuation(key, 0, 100) for key in some_keys]
    assert {answer.finish_reason for answer in answers} == {"length", "stop"}
    assert all(answer.length == 100 for answer in answers if answer.finish_reason == "length")


def test_ignore_eos_gives_exactly_the_limit(some_keys: list[bytes]) -> None:
    answers = [continuation(key, 0, 300, ignore_eos=True) for key in some_keys[:50]]
    assert {(answer.length, answer.finish_reason) for answer in answers} == {(300, "length")}


def test_min_tokens_come_before_an_end(some_keys: list[bytes]) -> None:
    assert min(continuation(key, 0, 300, minimum=100).length for key in some_keys[:200]) > 100


def test_the_end_of_turn_token_has_no_text() -> None:
    answer = Continuation(start=0, length=5, ends=True)
    assert answer.text(4, 5) == ""
    assert answer.tokens(0, 5)[-1] == END_OF_TURN


def test_a_stop_string_ends_the_answer_and_is_not_shown() -> None:
    whole = continuation(b"k", 0, 200, ignore_eos=True)
    text = whole.text(0, 200)
    word = text.split()[20]
    answer = continuation(b"k", 0, 200, ignore_eos=True, stop=[word, "never said"])
    shown = answer.text(0, answer.length)
    assert shown == text[: text.index(word)]
    assert (answer.finish_reason, answer.stop_reason) == ("stop", word)
    assert "".join(answer.text(i, i + 1) for i in range(answer.length)) == shown


def test_a_stop_string_that_never_comes_changes_nothing() -> None:
    assert continuation(b"k", 0, 20, stop=["zebra", ""]) == continuation(b"k", 0, 20)


@given(st.integers(0, 4095), st.integers(1, 9000), st.data())
def test_pieces_put_together_are_the_whole(start: int, length: int, data: st.DataObject) -> None:
    answer = Continuation(start, length, ends=False)
    cut = data.draw(st.integers(0, length))
    assert answer.text(0, cut) + answer.text(cut, length) == answer.text(0, length)
    assert [*answer.tokens(0, cut), *answer.tokens(cut, length)] == answer.tokens(0, length)


def test_generated_text_sent_back_has_the_ids_it_was_generated_with() -> None:
    answer = Continuation(start=17, length=300, ends=False)
    assert Tokenizer().encode(answer.text(0, 300), add_special_tokens=False) == answer.tokens(0, 300)
