"""The models that a configuration may describe, each with all that is known of it in a file of its own."""

from typing import Annotated, TypeAlias

from pydantic import Field

from search_spaces.models.base import ModelConfig
from search_spaces.models.vgg import VGG11
from search_spaces.models.vit import ViTTiny

Model: TypeAlias = Annotated[VGG11 | ViTTiny, Field(discriminator="name")]

__all__ = ["Model", "ModelConfig"]
