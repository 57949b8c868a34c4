"""The annotation that makes a choice stick comes with the object from an API server, too."""

from __future__ import annotations

from tests.sources.test_sources_kubernetes_assembly import MODEL, World

from signalbox.pool import STICKY_ANNOTATION

SPEC = {
    "modelName": "m",
    "poolRef": {"name": "pool"},
    "targetModels": [{"name": "a", "weight": 1}, {"name": "b", "weight": 1}],
}


def test_the_sticky_header_is_read_and_other_annotations_are_not_needed() -> None:
    world = World()
    world.put(MODEL, "m", SPEC, annotations={"other": "x", STICKY_ANNOTATION: "X-Session-Id"})
    world.assembly.flush(None)
    assert world.pool.catalogue.sticky
    chosen = {world.pool.catalogue.resolve("m", headers={"x-session-id": "s"}) for _ in range(10)}
    assert len(chosen) == 1
    world.put(MODEL, "m", SPEC, annotations={"other": "x"}, resourceVersion="2")
    world.assembly.flush(None)
    assert not world.pool.catalogue.sticky
