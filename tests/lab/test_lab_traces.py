from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.lab.traces import InvalidTrace, read_trace

MOONCAKE = """\
{"timestamp": 27000, "input_length": 1100, "output_length": 7, "hash_ids": [0, 1, 2]}
{"timestamp": 30500, "input_length": 600, "output_length": 9, "hash_ids": [0, 5], "adapter": "a", "priority": -1}
"""
TABLE = """\
timestamp,input_length,output_length,model,session,hash_ids,max_tokens
2026-01-01T00:00:01.5Z,100,5,m,s-1,a b,64
2026-01-01T00:00:00Z,50,6,m,,a,
2026-01-01T00:00:03+00:00,50,6,m,,b a,
"""
AZURE = """\
TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:51.0000000,0,3
"""
DECISIONS = """\
{"outcome": "routed", "request_id": "r", "time": "2026-01-01T00:00:00.250Z", "model": "m", "target": "m-v2",\
 "priority": 1, "prompt_tokens": 90, "end": {"outcome": "complete", "prompt_tokens": 100, "completion_tokens": 20}}
{"outcome": "refused", "time": "2026-01-01T00:00:00.500Z", "model": "m", "priority": null, "end": null}
{"outcome": "routed", "time": "2026-01-01T00:00:00.750Z", "model": "m", "target": "m", "prompt_tokens": 9, "end": null}
{"outcome": "routed", "time": "2026-01-01T00:00:01.250Z", "model": "m", "target": "m", "prompt_tokens": 30,\
 "end": {"outcome": "complete", "prompt_tokens": null, "completion_tokens": 4}}
"""


def read(tmp_path: Path, text: str, name: str = "trace") -> object:
    path = tmp_path / name
    path.write_text(text)
    return read_trace(path)


def test_mooncake(tmp_path: Path) -> None:
    path = tmp_path / "conversation.jsonl.gz"
    path.write_bytes(gzip.compress(MOONCAKE.encode()))
    workload = read_trace(path)
    first, second = workload.requests
    assert (workload.name, workload.block_tokens, workload.seconds) == ("conversation", 512, 3.5)
    assert (first.at, first.prompt_tokens, first.output_tokens) == (0.0, 1100, 7)
    assert first.blocks[0] == second.blocks[0]
    assert not set(first.blocks[1:]) & set(second.blocks[1:])
    assert (second.adapter, second.priority) == ("a", -1)


def test_a_table_with_a_header(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(TABLE)
    late = read_trace(path, block_tokens=64).requests[1]
    early, _, last = read_trace(path, block_tokens=64).requests
    assert (early.at, early.output_tokens, early.max_tokens, early.session) == (0.0, 6, None, "")
    assert (late.at, late.model, late.session, late.max_tokens) == (1.5, "m", "s-1", 64)
    assert early.blocks[0] == late.blocks[0]
    assert not set(last.blocks) & {*early.blocks, *late.blocks}  # the same words after another beginning


def test_azure(tmp_path: Path) -> None:
    path = tmp_path / "azure.csv"
    path.write_text("\ufeff" + AZURE.replace("\n", "\r\n"), encoding="utf-8")
    workload = read_trace(path)
    assert [(request.prompt_tokens, request.output_tokens) for request in workload.requests] == [(374, 44), (396, 109)]
    assert workload.requests[1].at == pytest.approx(4.314579, abs=1e-6)
    assert [request.blocks for request in workload.requests] == [(), ()]
    assert workload.notes[1:] == ("1 requests without prompt or answer are left out",)


def test_the_pickers_decision_log(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_text(DECISIONS)
    workload = read_trace(path)
    first, second = workload.requests
    assert (first.prompt_tokens, first.output_tokens, first.model, first.priority) == (100, 20, "m-v2", 1)
    assert (second.at, second.prompt_tokens, second.output_tokens) == (1.0, 30, 4)  # the picker's estimate
    assert [note.split()[0] for note in workload.notes] == ["the", "the", "1", "1"]


def test_a_page_of_decisions(tmp_path: Path) -> None:
    path = tmp_path / "page.json"
    page = {"kept": 4, "decisions": [json.loads(line) for line in DECISIONS.splitlines()]}
    for text in (json.dumps(page), json.dumps(page, indent=2)):
        path.write_text(text)
        assert [request.prompt_tokens for request in read_trace(path).requests] == [100, 30]
    path.write_text(json.dumps({"decisions": [{"outcome": "routed"}]}))
    with pytest.raises(InvalidTrace, match=r"decisions\[0\]: Object missing required field `time`"):
        read_trace(path)
    path.write_text('{"decisions": [')
    with pytest.raises(InvalidTrace, match="is no JSON"):
        read_trace(path)


LINE = '{"timestamp": 0, "input_length": 10, "output_length": 1, "hash_ids": [0]}\n'
HEAD = "timestamp,input_length,output_length"
DATE = "2023-11-16 18:15:46"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "trace: is empty"),
        ("\n \n", "trace: is empty"),
        ("hello\nworld\n", "trace:1: is no trace: its first line is 'hello'"),
        (LINE + "{", "trace:2: is no JSON"),
        (LINE + '{"timestamp": 0, "input_length": 10}', "trace:2: Object missing required field `output_length`"),
        (LINE.replace("10", '"ten"'), "trace:1: input_length: Expected `int`, got `str`"),
        (LINE.replace("[0]", "[0, 1.5]"), "trace:1: hash_ids[1]: Expected `int`, got `float`"),
        (LINE.replace("10", "0"), "trace:1: input_length: 0 is below 1"),
        (LINE.replace('"output_length": 1', '"output_length": 0'), "trace:1: output_length: 0 is below 1"),
        (LINE.replace('"hash_ids"', '"max_tokens": -5, "hash_ids"'), "trace:1: max_tokens: -5 is below 1"),
        (LINE.replace("10", str(1 << 62)), f"trace:1: input_length: {1 << 62} is above"),
        (LINE.replace("10", str(1 << 70)), "trace:1: "),
        (LINE.replace('"hash_ids"', f'"priority": {1 << 62}, "hash_ids"'), "trace:1: priority: "),
        (LINE.replace('"timestamp": 0', '"timestamp": 1e300'), "trace:1: timestamp: 1e+300 is beyond 1e+14"),
        (f"{HEAD}\n1e300,2,3", "trace:2: timestamp: 1e+300 is beyond 1e+11"),
        (f"{HEAD}\n1,{'9' * 5000},3", "trace:2: input_length: "),
        (f"{HEAD},priority\n1,2,3,{1 << 40}", "trace:2: priority: "),
        (f"{HEAD},stream\n1,2,3,maybe", "trace:2: stream: 'maybe' is neither true nor false"),
        (
            DECISIONS.replace('"completion_tokens": 20', '"completion_tokens": -20'),
            "trace:1: end.completion_tokens: -20",
        ),
        (LINE.replace("[0]", "[0, 2]") + LINE.replace("[0]", "[1, 2]"), "trace:2: hash_ids: 2 comes after 1 here"),
        (f"{HEAD}\n1,2", "trace:2: 2 fields, but the header names 3"),
        (f"{HEAD}\n\n1,-2,3", "trace:3: input_length: '-2' is not a whole number of at least 1"),
        (f"{HEAD}\nsoon,2,3", "trace:2: timestamp: 'soon' is neither a number of seconds nor a date and time"),
        (f"{HEAD}\ninf,2,3", "trace:2: timestamp: 'inf' is not a time"),
        (f"{HEAD},priority\n1,2,3,high", "trace:2: priority: 'high' is not a whole number"),
        (f"{HEAD},priority\n1,2,3,1_0", "trace:2: priority: '1_0' is not a whole number"),
        (f"{HEAD}\n1_000,2,3", "trace:2: timestamp: '1_000' is neither a number of seconds nor a date and time"),
        (LINE.replace("input_length", "input_len"), "trace:1: Object missing required field `input_length`"),
        ("timestamp,input_lenght,output_length\n1,2,3", "trace:1: the header has no column 'input_length'"),
        (f"{HEAD},colour\n1,2,3,red", "trace:1: the column 'colour' is unknown; known columns: timestamp,"),
        (f"{HEAD},hash_ids\n1,2,3,{'x' * 140_000}", "trace:2: is no CSV: field larger than field limit"),
        (f"{HEAD},{HEAD}\n", "trace:1: the header names a column twice"),
        ("time,input_length\n1,2", "trace:1: the header has no column 'timestamp'"),
        (f"{HEAD}\n", "trace: holds no request that can be replayed"),
        (f"TIMESTAMP,ContextTokens,GeneratedTokens\n{DATE},x,1", "trace:2: ContextTokens: 'x' is not a whole number"),
        (f"TIMESTAMP,ContextTokens,GeneratedTokens\n{DATE},0,1", "1 requests without prompt or answer are left out"),
        ('{"outcome": "routed"}', "trace:1: Object missing required field `time`"),
        ('{"outcome": "routed", "time": "noon"}', "trace:1: time: Invalid RFC3339 encoded datetime"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidTrace) as raised:
        read(tmp_path, text)
    assert said in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidTrace, match="No such file"):
        read_trace(tmp_path / "none.csv")
    with pytest.raises(InvalidTrace, match="directory"):
        read_trace(tmp_path)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(MOONCAKE.encode())[:-20])
    with pytest.raises(InvalidTrace, match="not a whole gzip file"):
        read_trace(tmp_path / "cut.gz")
    (tmp_path / "picture").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(InvalidTrace, match="no text in UTF-8"):
        read_trace(tmp_path / "picture")


LINES = st.lists(
    st.one_of(
        st.text(max_size=40),
        st.sampled_from([*MOONCAKE.splitlines(), *TABLE.splitlines(), *AZURE.splitlines(), *DECISIONS.splitlines()]),
    ),
    max_size=6,
)


@given(st.one_of(st.binary(max_size=60), LINES.map(lambda lines: "\n".join(lines).encode("utf-8", "replace"))))
def test_any_file_is_a_trace_or_is_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(data)
    said, times = "", [0.0]
    try:
        times = [request.at for request in read_trace(path).requests]
    except InvalidTrace as invalid:
        said = str(invalid)
    assert "\n" not in said
    assert times[0] == 0.0
    assert times == sorted(times)


def test_a_followed_log_counts_each_request_once(tmp_path: Path) -> None:
    begun = {"outcome": "routed", "request_id": "r", "time": "2026-01-01T00:00:00Z", "prompt_tokens": 9, "end": None}
    ended = {**begun, "stream": False, "end": {"outcome": "cancelled", "prompt_tokens": 8, "completion_tokens": 3}}
    path = tmp_path / "followed.jsonl"
    path.write_text(f"{json.dumps(begun)}\n{json.dumps(ended)}\n")
    workload = read_trace(path)
    assert [(one.prompt_tokens, one.output_tokens, one.stream) for one in workload.requests] == [(8, 3, False)]
    assert workload.notes[1:] == (
        "1 requests were cancelled: their answers are taken to be as long as they had become",
    )


def test_a_page_that_is_not_everything_says_so(tmp_path: Path) -> None:
    path = tmp_path / "page.json"
    decisions = [json.loads(line) for line in DECISIONS.splitlines()]
    page = {"sample": 0.25, "passed_over": 7, "decisions": decisions}
    path.write_text(json.dumps(page))
    notes = read_trace(path).notes
    assert any("kept 0.25 of its decisions" in note for note in notes)
    assert any("passed over 7 decisions" in note for note in notes)
    decisions[0]["end"]["completion_tokens"] = -1
    path.write_text(json.dumps(page))
    with pytest.raises(InvalidTrace, match=r"page.json: decisions\[0\].end.completion_tokens: -1 is below 1"):
        read_trace(path)


def test_what_is_inconsistent_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    later = LINE.replace('"timestamp": 0', '"timestamp": 9000')
    path.write_text(later + LINE.replace("[0]", "[0, 1, 2]"))
    assert [note.split(":")[0] for note in read_trace(path).notes] == [
        "1 requests stand after later ones",
        "1 requests name more blocks of 512 tokens than their prompts hold; the rest of them is not looked at; "
        "--block-tokens says how long a block is",
    ]
    path.write_text(LINE + later)
    assert read_trace(path).notes == ()


def test_a_line_separator_within_a_string_ends_no_line(tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_text(LINE.replace('"hash_ids"', '"model": "a\u2028b", "hash_ids"'))
    assert read_trace(path).requests[0].model == "a\u2028b"


def test_streaming_and_usage_may_be_told(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"{HEAD},stream,usage\n1,2,3,false,0\n2,2,3,,\n")
    assert [(one.stream, one.usage) for one in read_trace(path).requests] == [(False, False), (True, True)]
    path.write_text(LINE.replace('"hash_ids"', '"stream": false, "usage": false, "hash_ids"'))
    assert [(one.stream, one.usage) for one in read_trace(path).requests] == [(False, False)]


def test_fields_of_mooncake_lines_that_nobody_knows_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(MOONCAKE)
    assert read_trace(path).notes == ()
    path.write_text(MOONCAKE.replace('"hash_ids": [0, 5]', '"hash_id": [0, 5], "turn": {"of": 3}'))
    workload = read_trace(path)
    (note,) = workload.notes
    assert note.startswith("fields that are not known here are not looked at: 'hash_id', 'turn'; known are timestamp, ")
    assert [len(request.blocks) for request in workload.requests] == [3, 0]
    many = ", ".join(f'"x{n}": 1' for n in range(50))
    path.write_text(MOONCAKE.replace('"timestamp"', f'{many}, "timestamp"'))
    (note,) = read_trace(path).notes
    assert "'x7', ...; known are" in note
    assert "x8" not in note
