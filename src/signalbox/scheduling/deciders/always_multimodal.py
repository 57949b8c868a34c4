"""``always-disagg-multimodal-decider``."""

from __future__ import annotations

from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.plugin import DeciderPlugin, Parameters


class AlwaysDisaggMultimodalDecider(DeciderPlugin[Parameters]):
    """Encode on a server of its own whenever the prompt holds an image, a video or audio.

    Source: always-disagg-multimodal-decider of llm-d.
    """

    type = "always-disagg-multimodal-decider"
    use = "The encode stage of multimodal serving."
    reads_media = True

    def decide(self, cycle: Cycle, row: int | None) -> bool:
        """Return whether the prompt is multimodal."""
        return cycle.multimodal
