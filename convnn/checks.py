"""Checks shared by all layers. Each message states the rule, the value received and the way out."""

from collections.abc import Sequence

from torch import Tensor

from convnn.precision import autocast_dtype


def require_one_of(name: str, value: object, valid: Sequence[str]) -> None:
    """Raise ValueError unless `value` is one of the `valid` names."""
    if value not in valid:
        raise ValueError(f"{name} must be one of {', '.join(valid)}, got {name}={value!r}.")


def require_count(name: str, value: object, least: int = 1) -> None:
    """Raise ValueError unless `value` is an integer of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be an integer, at least {least}, got {name}={value!r}.")


def require_share(name: str, value: float) -> None:
    """Raise ValueError unless `value` is between 0 and 1."""
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must be 0 to 1, got {name}={value!r}.")


def require_rate(name: str, value: float) -> None:
    """Raise ValueError unless `value` is a dropout rate: at least 0, less than 1."""
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{name} must be at least 0 and less than 1, got {name}={value!r}.")


def require_input(x: Tensor, layout: str, channels: int, axis: int, like: Tensor) -> None:
    """Raise unless `x` has the layout's number of axes, `channels` on one of them, and a dtype that fits `like`.

    Args:
        x: The layer's input.
        layout: Names of the axes, such as `(B, C, H, W)`.
        channels: Channels that the layer was built for.
        axis: Axis of the channels.
        like: A parameter of the layer. Under autocast any floating-point dtype fits.

    Raises:
        ValueError: If the shape does not fit.
        TypeError: If the dtype does not fit.
    """
    if x.dim() != layout.count(",") + 1 or x.shape[axis] != channels:
        name = layout.strip("()").split(",")[axis].strip()
        raise ValueError(
            f"the input must be {layout} with {name} = {channels}, got shape {tuple(x.shape)}; "
            f"build the layer for this number of channels, or reorder the axes."
        )
    if x.numel() == 0:
        raise ValueError(f"the input must contain at least one token, got shape {tuple(x.shape)}.")
    if not x.is_floating_point() or (x.dtype != like.dtype and autocast_dtype(x.device) is None):
        raise TypeError(
            f"the input must have the layer's dtype {like.dtype}, got {x.dtype}; "
            f"convert one of them with .to(), or run under torch.autocast."
        )
