"""What a configuration says about precise prefixes, put together: the index, and who tells token ids."""

from __future__ import annotations

from signalbox.scheduling.configuration.findings import Findings
from signalbox.scheduling.configuration.plugin_section import Declared
from signalbox.scheduling.prefix.token_source import TOKENIZE, TokenSource
from signalbox.scheduling.producers.precise_prefix_cache import PrecisePrefixCacheProducer, PrecisePrefixParameters
from signalbox.scheduling.scorers.precise_prefix_cache import PrecisePrefixCacheScorer

_FIX = "name a rendering service as vllm.url, or write backend: tokenize to ask the pool's own servers"
_OWN = "token ids are asked of the pool's own servers (/tokenize), as no token-producer names a rendering service"


def build_precise(declared: Declared, findings: Findings) -> tuple[PrecisePrefixParameters, TokenSource] | None:
    """Return the index and who tells token ids; ``None`` where prefixes are approximate."""
    found = [
        plugin
        for plugin in declared.plugins.values()
        if isinstance(plugin, PrecisePrefixCacheProducer | PrecisePrefixCacheScorer)
    ]
    tokens = declared.tokens
    source = None if tokens is None else tokens.source
    if not found:
        if source is not None:
            findings.note(("plugins",), "token-producer: has no effect: nothing here asks for token ids but a"
                          " precise-prefix-cache-producer")  # fmt: skip
        return None
    first, *others = found
    for other in others:
        if other.parameters != first.parameters:
            message = f"{other.name}: parameters have no effect: there is one precise index, that of {first.name}"
            findings.note(declared.path(other.name), message)
    if tokens is not None and tokens.backend == "estimate":
        message = f"{first.name!r} needs token ids, and the token-producer estimates them"
        findings.problem(declared.path(first.name)[:2], message, _FIX)
        return None
    if source is None:
        source = TokenSource(TOKENIZE, "" if tokens is None else tokens.model_name)
        findings.note(declared.path(first.name)[:2], f"{first.name}: {_OWN}")
    for name, plugin in declared.plugins.items():
        named = getattr(plugin.parameters, "prefix_match_info_producer_name", "")
        if declared.stand_ins.get(named) is not None:
            message = (
                f"{name}: reads the precise index too; the approximate one answers only where token ids are unknown"
            )
            findings.note((*declared.path(name), "prefixMatchInfoProducerName"), message)
    return first.parameters, source
