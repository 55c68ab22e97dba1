"""The models that a configuration may describe, one file for everything about each model."""

from search_spaces.models.base import MODELS, MixingLayer, ModelConfig, register_model
from search_spaces.models.vgg import VGGLayer, register_layer
from search_spaces.models.vgg11 import VGG11
from search_spaces.models.vit import ViTAttention, ViTTiny, register_attention

__all__ = [
    "MODELS",
    "VGG11",
    "MixingLayer",
    "ModelConfig",
    "VGGLayer",
    "ViTAttention",
    "ViTTiny",
    "register_attention",
    "register_layer",
    "register_model",
]
