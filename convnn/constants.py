"""Tensors that depend only on shapes, computed once per shape and device."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import torch

Given = ParamSpec("Given")
Made = TypeVar("Made")

KEPT = 256
"""Number of cached results per function."""


def constant(make: Callable[Given, Made]) -> Callable[Given, Made]:
    """Cache the results of a function that depends only on its arguments.

    Callers must not modify the results. They can be used in training even if evaluation under `torch.inference_mode`
    computed them first.
    """

    @functools.lru_cache(maxsize=KEPT)
    def kept(*arguments: Any, **named: Any) -> Made:  # noqa: ANN401
        with torch.inference_mode(mode=False):
            return make(*arguments, **named)

    @functools.wraps(make)
    def ask(*arguments: Given.args, **named: Given.kwargs) -> Made:
        if torch.compiler.is_compiling():  # a compiled graph has its own constants
            return make(*arguments, **named)
        return kept(*cast("Any", arguments), **cast("Any", named))

    return ask
