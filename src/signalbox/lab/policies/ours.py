"""Our own policies, read from configurations as the picker reads them."""

from __future__ import annotations

from signalbox.lab.stage import Contender, configured

SCORER_CONFIGURATION = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
  - type: least-cost-scorer
schedulingProfiles:
  - name: default
    plugins:
      - pluginRef: least-cost-scorer
"""
LEAST_COST_CONFIGURATION = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins:
  - type: least-cost-scorer
  - type: pace-detector
  - type: long-prompt-holdback-policy
  - type: short-prompts-first-ordering-policy
schedulingProfiles:
  - name: default
    plugins:
      - pluginRef: least-cost-scorer
flowControl:
  saturationDetector: {pluginRef: pace-detector}
  usageLimitPolicyPluginRef: long-prompt-holdback-policy
  defaultPriorityBand: {orderingPolicyRef: short-prompts-first-ordering-policy}
"""

WITH_PARAMETERS = "least-cost:"


def least_cost_with(name: str) -> Contender:
    """``least-cost`` with other parameters than its defaults, out of its name: ``least-cost:laterWeight=0,...``.

    Raises `InvalidPolicy` for parameters it does not have.
    """
    parameters = name.removeprefix(WITH_PARAMETERS).replace("=", ": ").replace(",", ", ")
    plugin = "  - type: least-cost-scorer\n"
    text = LEAST_COST_CONFIGURATION.replace(plugin, f"{plugin}    parameters: {{{parameters}}}\n")
    return configured(text, name)


ABLATION = {
    "least-cost": "least-cost",
    "least-cost-scorer": "nobody held back",
    f"{WITH_PARAMETERS}crowdingWeight=0": "no crowding",
    f"{WITH_PARAMETERS}laterWeight=0": "no later",
}
"""`least-cost` without one of its parts at a time: what to call each."""

LEAST_COST = configured(LEAST_COST_CONFIGURATION, "least-cost")
LEAST_COST_SCORER = configured(SCORER_CONFIGURATION, "least-cost-scorer")
"""Its choice of an endpoint alone."""
LEAST_COST_PRECISE = configured(
    LEAST_COST_CONFIGURATION.replace("plugins:\n", "plugins:\n  - type: precise-prefix-cache-producer\n", 1),
    "least-cost-precise",
)
"""The same, told by the engines what they hold, as the peers that look at caches are."""
OUR_DEFAULT = configured("", "default")
"""What an empty configuration means: queue 2, KV cache 2, prefix 3, over our own signals."""
