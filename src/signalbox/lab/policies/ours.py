"""Our own policies, read from configurations as the picker reads them."""

from __future__ import annotations

from signalbox.lab.stage import configured

LEAST_COST_CONFIGURATION = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
  - type: least-cost-scorer
schedulingProfiles:
  - name: default
    plugins:
      - pluginRef: least-cost-scorer
"""

LEAST_COST = configured(LEAST_COST_CONFIGURATION, "least-cost")
OUR_DEFAULT = configured("", "default")
"""What an empty configuration means: queue 2, KV cache 2, prefix 3, over our own signals."""
