"""What ``ready`` promises, and the figures it and the table rest on."""

import asyncio
import shlex
from collections.abc import Callable, Sequence

import aiohttp
import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.gateway_manifests import MODEL, POOL, one, parse

from signalbox.gateway.desired import sort_out
from signalbox.gateway.figures import Figures, Scraper, finished_requests, listed_models, read_figures
from signalbox.gateway.members import Member, Phase
from signalbox.gateway.serving import curl_lines, joined, missing_models, ready_pods, sample_model, target_names
from signalbox.resources import InferenceModel

PAGE = b"""# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{model_name="m"} 3
vllm:num_requests_running{model_name="m"} 2
vllm:kv_cache_usage_perc{model_name="m"} 0.5
vllm:request_success_total{finished_reason="stop",model_name="m"} 10
vllm:request_success_total{finished_reason="length",model_name="m"} 5
vllm:request_success_created{finished_reason="length",model_name="m"} 1.7e+09
"""
MODELS = b'{"data":[{"id":"base","parent":null},{"id":"food-1","parent":"base"}]}'


def member(name: str, phase: Phase = Phase.READY, *models: str, port: int = 8000) -> Member:
    return Member("default", name, {}, "127.0.0.1", port, phase, models=models)


def test_figures_come_from_the_metrics_page_and_the_model_list() -> None:
    assert read_figures(PAGE, MODELS, None, 7.0) == Figures(
        waiting=3, running=2, kv_usage=0.5, adapters=("food-1",), models=("base", "food-1"), finished=15, at=7.0
    )


def test_a_rate_needs_two_scrapes_and_a_restarted_server_counts_from_zero() -> None:
    first = read_figures(PAGE, None, None, 0.0)
    assert first.rate is None
    second = read_figures(PAGE.replace(b"} 10", b"} 20"), None, first, 2.0)
    assert second.rate == 5.0
    assert read_figures(PAGE, None, second, 4.0).rate == 0.0


def test_a_server_that_reports_nothing_has_no_figures() -> None:
    assert read_figures(None, None, None, 1.0) == Figures(at=1.0)
    assert finished_requests(b"other 1\n") is None


@given(st.binary())
def test_no_answer_is_too_odd_to_read(answer: bytes) -> None:
    finished_requests(answer + b"\nvllm:request_success_total " + answer)
    listed_models(answer)


@given(st.recursive(st.none() | st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_a_model_list_of_another_shape_is_no_list(content: object) -> None:
    assert not listed_models(msgspec.json.encode({"data": content})) or isinstance(content, list | dict)


async def test_ready_members_are_scraped(aiohttp_server_port: int) -> None:
    async with aiohttp.ClientSession() as session:
        everyone = [member("up", port=aiohttp_server_port), member("down", port=1), member("new", Phase.STARTING)]
        scraper = Scraper(session, lambda: everyone, clock=lambda: 1.0)
        await scraper.scrape()
    assert scraper.figures.keys() == {"default/up", "default/down"}
    assert scraper.figures["default/up"].adapters == ("food-1",)
    assert scraper.figures["default/down"] == Figures(at=1.0)


@pytest.fixture
async def aiohttp_server_port() -> object:
    async def page(request: web.Request) -> web.Response:
        return web.Response(body=PAGE if request.path == "/metrics" else MODELS)

    app = web.Application()
    app.router.add_get("/{any:.*}", page)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield runner.addresses[0][1]
    await asyncio.shield(runner.cleanup())


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ('# HELP x\ninference_pool_ready_pods{name="p"} 3.0\n', 3),
        ("inference_pool_ready_pods 1\n", 1),
        ('inference_pool_ready_pods_total{name="p"} 3\n', None),
        ("", None),
    ],
)
def test_a_picker_says_how_many_pods_it_knows(page: str, expected: int | None) -> None:
    assert ready_pods(page) == expected


def test_targets_are_missing_until_every_ready_server_lists_them() -> None:
    model = one(InferenceModel, MODEL)
    assert target_names(model) == ("food-1",)
    loaded = Figures(models=("base", "food-1"))
    everyone = [member("a"), member("b"), member("c", Phase.STARTING)]
    assert missing_models([model], everyone, {"default/a": loaded}) == ("food-1",)
    assert missing_models([model], everyone, {"default/a": loaded, "default/b": loaded}) == ()
    assert missing_models([model], [member("a", Phase.READY, "food-1")], {}) == ()


def test_a_model_without_targets_is_served_under_its_own_name() -> None:
    text = MODEL.replace("targetModels: [{name: food-1, weight: 1}]", "criticality: Critical")
    assert target_names(one(InferenceModel, text)) == ("food",)


def test_the_first_request_asks_for_a_name_that_is_served() -> None:
    with_model, without = sort_out(parse(f"{POOL}---{MODEL}")), sort_out(parse(POOL))
    assert sample_model(with_model, [], {}) == "food"
    assert sample_model(without, [member("a", Phase.READY, "base")], {}) == "base"
    assert sample_model(without, [member("a")], {"default/a": Figures(models=("listed",))}) == "listed"
    assert sample_model(without, [], {}) == "MODEL"


@pytest.mark.parametrize("write", [joined, "\n".join])
@given(model=st.text(st.characters(exclude_categories=["Cs", "Cc"])) | st.just("it's"))
def test_the_command_survives_a_shell_in_one_line_and_in_several(
    write: Callable[[Sequence[str]], str], model: str
) -> None:
    words = [word for word in shlex.split(write(curl_lines(8080, model))) if word != "\n"]
    assert words[:5] == ["curl", "-i", "localhost:8080/v1/completions", "-H", "Content-Type: application/json"]
    assert msgspec.json.decode(words[6])["model"] == model
    assert len(words) == 7


def test_the_command_fits_80_columns() -> None:
    assert max(map(len, curl_lines(65535, "meta-llama/Llama-3.1-8B-Instruct"))) <= 80
