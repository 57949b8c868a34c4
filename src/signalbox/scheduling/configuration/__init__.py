"""EndpointPickerConfig: read, checked whole, and made into a policy."""

from signalbox.scheduling.configuration.models import API_VERSIONS, KIND, EndpointPickerConfig

__all__ = ["API_VERSIONS", "KIND", "EndpointPickerConfig"]
