"""Whether a request is taken now or refused. Queueing and fairness build on this room later."""

from signalbox.admission.gate import SaturationGate, Shed, SheddableGate

__all__ = ["SaturationGate", "Shed", "SheddableGate"]
