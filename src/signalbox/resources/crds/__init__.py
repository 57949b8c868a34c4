"""The CustomResourceDefinitions of the inference kinds, generated from the models that read them."""

from signalbox.resources.crds.definitions import DEFINITIONS, Column, Definition, custom_resource_definition

__all__ = ["DEFINITIONS", "Column", "Definition", "custom_resource_definition"]
