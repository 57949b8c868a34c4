"""Where the picker's knowledge of the cluster comes from: YAML files or a Kubernetes API server, read and watched.

What reads an API server is in `signalbox.sources.kubernetes`, and imported by who needs it: it takes an HTTP client and
Kubernetes' own types, which cost as much as the rest of a picker.
"""

from signalbox.sources.directory import DirectorySource
from signalbox.sources.manifests import ManifestReader, Manifests
from signalbox.sources.source import Source
from signalbox.sources.watching import changes

__all__ = [
    "DirectorySource",
    "ManifestReader",
    "Manifests",
    "Source",
    "changes",
]
