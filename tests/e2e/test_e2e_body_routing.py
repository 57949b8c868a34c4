"""One gateway, two pools: the model in the body decides, with a real Envoy."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from tests.e2e.manifests import GATEWAY, deployment, pool, together
from tests.e2e.running import Up, last_option, running_up, save

pytestmark = pytest.mark.e2e

CONFIG_MAP = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: large
  labels: {inference.networking.k8s.io/bbr-managed: "true"}
data:
  baseModel: large
  adapters: |
    - writer
"""


def named(name: str) -> str:
    """Two servers of a model of this name."""
    return deployment(1, "--served-model-name", name, name=name)


def route(*rules: tuple[str, str, str], name: str = "route") -> str:
    """An HTTPRoute with a rule for each (header, value, pool); no header takes everything."""
    listed = []
    for header, value, backend in rules:
        matches = f"matches: [{{headers: [{{name: {header}, value: {value}}}]}}]\n    " if header else ""
        reference = f"{{group: inference.networking.k8s.io, kind: InferencePool, name: {backend}}}"
        listed.append(f"\n  - {matches}backendRefs: [{reference}]")
    parent = "parentRefs: [{name: gateway}]"
    kind = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute"
    return f"\n{kind}\nmetadata: {{name: {name}}}\nspec:\n  {parent}\n  rules:{''.join(listed)}\n"


BY_MODEL = route(("X-Gateway-Model-Name", "small", "small"), ("x-gateway-model-name", "large", "large"))
POOLS = (named("small"), named("large"), pool(name="small"), pool(name="large"), GATEWAY)


async def served_by(up: Up, model: str) -> str:
    """The model that answers."""
    return (await up.ask(model)).model


async def test_the_model_in_the_body_decides_which_pool_answers(tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    (manifests / "all.yaml").write_text(together(*POOLS, BY_MODEL))
    async with running_up(tmp_path / "state", str(manifests), "--speed", "50") as up:
        await up.printed(r"bbr +\S+ starting: HTTPRoutes match on the body's model")
        for model in ("small", "large", "small"):
            assert await served_by(up, model) == model

        unknown = await up.ask("unheard-of")
        assert (unknown.status, unknown.json["error"]["code"]) == (404, "not_found")
        assert "for model unheard-of" in unknown.json["error"]["message"]

        nameless = await up.send("POST", "/v1/completions", b'{"prompt": "x"}')
        assert (nameless.status, nameless.json["error"]["code"]) == (404, "not_found")
        broken = await up.send("POST", "/v1/completions", b"{no json")
        assert (broken.status, broken.json["error"]["type"]) == (400, "invalid_request_error")
        assert "not JSON" in broken.json["error"]["message"]

        # The body says which model, whatever the client writes into the header.
        body = json.dumps({"model": "small", "prompt": "x", "max_tokens": 1}).encode()
        answer = await up.send("POST", "/v1/completions", body, **{"X-Gateway-Model-Name": "large"})
        assert answer.model == "small"
        # Where there is no body the client may choose.
        listed = await up.send("GET", "/v1/models", None, **{"X-Gateway-Model-Name": "large"})
        assert [card["id"] for card in listed.json["data"]] == ["large"]

        # A body larger than Envoy's connection buffer: the pool's server is the one to say that it is too long.
        long = await up.ask("large", prompt="x " * (3 << 20))
        assert long.status == 400
        assert "context" in long.json["error"]["message"]

        (line,) = up.processes("bbr").values()
        metrics = f"http://{last_option(line, '--grpc-host')}:{last_option(line, '--metrics-port')}/metrics"
        async with up.session.get(metrics) as page:
            text = await page.text()
        assert 'bbr_body_field_not_found_total{field="model"} 1.0' in text
        assert "bbr_model_not_parsed_total 1.0" in text
        assert "bbr_success_total 6.0" in text


async def test_body_based_routing_comes_and_goes_with_the_routes_that_need_it(tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    file = manifests / "route.yaml"
    (manifests / "all.yaml").write_text(together(*POOLS))
    file.write_text(route(("", "", "small")))
    async with running_up(tmp_path / "state", str(manifests), "--speed", "50") as up:
        assert await served_by(up, "small") == "small"
        assert not up.processes("bbr")

        async def answers(model: str, status: int) -> bool:
            return (await up.ask(model)).status == status

        save(file, route(("", "", "small"), ("X-Gateway-Base-Model-Name", "large", "large")))
        (manifests / "base.yaml").write_text(CONFIG_MAP)
        await up.until(lambda: answers("large", 200))
        assert await served_by(up, "small") == "small"
        assert (await up.ask("writer")).status == 404, "routed by its base model; the large server has no such adapter"
        assert "writer" in (await up.ask("writer")).json["error"]["message"]

        save(file, route(("", "", "small")))
        await up.printed(r"bbr +\S+ stopping: no HTTPRoute matches on the body's model")
        await up.until(lambda: answers("large", 404))
        assert await served_by(up, "small") == "small"

        async def ended() -> bool:
            return not up.processes("bbr")

        await up.until(ended)


async def test_while_it_is_gone_requests_are_refused_and_not_sent_elsewhere(tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    routes = route(("", "", "small"), ("X-Gateway-Model-Name", "large", "large"))
    (manifests / "all.yaml").write_text(together(*POOLS, routes))
    async with running_up(tmp_path / "state", str(manifests), "--speed", "50") as up:
        assert await served_by(up, "large") == "large"
        (pid,) = up.processes("bbr")
        seen = len(up.lines)
        os.kill(pid, signal.SIGKILL)

        async def refused() -> bool:
            answer = await up.ask("large")
            assert answer.status in (200, 503), "never the small pool's 404"
            return answer.status == 503 and answer.json["error"]["code"] == "body_router_unavailable"

        await up.until(refused)
        await up.printed(r"bbr +.* ready", after=seen)

        async def back() -> bool:
            return (await up.ask("large")).status == 200

        await up.until(back)
