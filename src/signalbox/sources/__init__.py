"""Where the picker's knowledge of the cluster comes from: YAML files, read and watched."""

from signalbox.sources.directory import DirectorySource
from signalbox.sources.manifests import ManifestReader, Manifests
from signalbox.sources.watching import changes

__all__ = ["DirectorySource", "ManifestReader", "Manifests", "changes"]
