"""Whether a request is taken now or refused. `flow` is where requests wait."""

from signalbox.admission.gate import AdmitterGate, Gate, OpenGate, SaturationGate, Shed, SheddableGate

__all__ = ["AdmitterGate", "Gate", "OpenGate", "SaturationGate", "Shed", "SheddableGate"]
