"""Tensors that follow from shapes alone, made once per shape and device."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import torch

Given = ParamSpec("Given")
Made = TypeVar("Made")

KEPT = 256
"""Results of each function that are kept."""


def constant(make: Callable[Given, Made]) -> Callable[Given, Made]:
    """Keep what a function gives for the same arguments, which it must not depend on anything else for.

    Nobody may write to it. What is kept can be used in training also where evaluation under `torch.inference_mode` made
    it first.
    """

    @functools.lru_cache(maxsize=KEPT)
    def kept(*arguments: Any, **named: Any) -> Made:  # noqa: ANN401
        with torch.inference_mode(mode=False):
            return make(*arguments, **named)

    @functools.wraps(make)
    def ask(*arguments: Given.args, **named: Given.kwargs) -> Made:
        if torch.compiler.is_compiling():  # a graph has constants of its own
            return make(*arguments, **named)
        return kept(*cast("Any", arguments), **cast("Any", named))

    return ask
