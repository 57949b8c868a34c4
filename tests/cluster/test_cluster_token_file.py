"""A token's file is looked at again every minute, and after a 401."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from lightkube.core.exceptions import ConfigError

from signalbox.cluster.token_file import REREAD_SECONDS, TokenFile


class Requests:
    """Requests through one `TokenFile`, at times that a test sets."""

    def __init__(self, path: Path) -> None:
        self.now = 100.0
        self._auth = TokenFile(path, lambda: self.now)

    def send(self, *answers: int) -> list[str]:
        """The Authorization of each try of one request, which the server answers with these codes."""
        flow = self._auth.auth_flow(httpx2.Request("GET", "http://api/"))
        sent = [next(flow).headers["Authorization"]]
        for code in answers:
            try:
                sent.append(flow.send(httpx2.Response(code)).headers["Authorization"])
            except StopIteration:
                break
        return sent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("old\n")
    return path


def test_a_renewed_token_is_used_within_a_minute_without_a_refusal(path: Path) -> None:
    requests = Requests(path)
    assert requests.send(200) == ["Bearer old"]
    path.write_text("new\n")
    requests.now += REREAD_SECONDS - 1
    assert requests.send(200) == ["Bearer old"]
    requests.now += 1
    assert requests.send(200) == ["Bearer new"]


def test_a_refusal_reads_it_at_once_and_tries_again_once(path: Path) -> None:
    requests = Requests(path)
    requests.send(200)
    path.write_text("new\n")
    assert requests.send(401, 401) == ["Bearer old", "Bearer new"]
    assert requests.send(200) == ["Bearer new"]


@pytest.mark.parametrize("content", [None, b"", b"  \n", b"\xff\xfe"], ids=["gone", "empty", "blank", "no text"])
def test_a_file_that_cannot_be_read_leaves_the_token_there_was(path: Path, content: bytes | None) -> None:
    requests = Requests(path)
    requests.send(200)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    requests.now += REREAD_SECONDS
    assert requests.send(200) == ["Bearer old"]


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"], ids=["gone", "empty", "no text"])
def test_without_any_token_a_request_says_which_file(path: Path, content: bytes | None) -> None:
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"token file {path}: "):
        Requests(path).send(200)
