"""LoRA adapters: where one that is in no server's memory is to be brought in."""

from signalbox.scheduling.lora.placement import place

__all__ = ["place"]
