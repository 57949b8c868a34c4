"""A pod's address is an IP address, and a picker's configuration is no object of the cluster."""

from __future__ import annotations

import pytest

from signalbox.resources import InvalidResource, Origin, Pod, Skipped, parse_resource


def pod(address: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "status": {"podIP": address}}


@pytest.mark.parametrize(("written", "kept"), [("10.0.0.7", "10.0.0.7"), ("fd00::7", "fd00::7"), ("", "")])
def test_addresses(written: str, kept: str) -> None:
    resource = parse_resource(pod(written), Origin("a.yaml", 1, 1))
    assert isinstance(resource, Pod)
    assert resource.status.pod_ip == kept


@pytest.mark.parametrize("address", ["not-an-ip", "10.0.0.7:8000", "10.0.0.256", "localhost"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(InvalidResource) as caught:
        parse_resource(pod(address), Origin("a.yaml", 1, 1))
    (problem,) = caught.value.problems
    assert str(problem).endswith(
        f"status.podIP: {address!r} is not an IP address; write one such as 10.0.0.7 or fd00::7"
    )


def test_a_pickers_configuration_is_told_where_it_belongs_and_a_misspelt_one_is_an_error() -> None:
    document = {"apiVersion": "llm-d.ai/v1alpha1", "kind": "EndpointPickerConfig"}
    skipped = parse_resource(document, Origin("a.yaml", 1, 1))
    assert isinstance(skipped, Skipped)
    assert skipped.reason == "not an object of the cluster: give the file to --config-file"
    with pytest.raises(InvalidResource, match="did you mean 'EndpointPickerConfig'"):
        parse_resource({**document, "kind": "EndpointPickerConfg"}, Origin("a.yaml", 1, 1))
