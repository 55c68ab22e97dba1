"""The one form of equivalent configurations, and its keys.

Two files that describe the same run get the same keys: what cannot matter is dropped, and lambda enters as the
channel counts that it stands for.
"""

import hashlib
import json
from typing import Any

from search_spaces.feasibility import infeasibilities
from search_spaces.kinds import declared_versions
from search_spaces.trial import TrialConfig

KEY_VERSION = 1
"""Part of every key; raised when a change of meaning makes old results incomparable."""


def canonical(trial: TrialConfig) -> TrialConfig:
    """The form of `trial` that runs, the same for all equivalent ones. One that cannot run is left as it is."""
    if next(infeasibilities(trial), None) is not None:
        return trial
    return trial.canonical()


def config_key(trial: TrialConfig) -> str:
    """16 hexadecimal digits that equivalent configurations share, whatever their seed."""
    return _key_of(canonical(trial))


def _key_of(form: TrialConfig) -> str:
    content: dict[str, Any] = form.model_dump(mode="json", exclude={"model"})
    content["model"] = form.model.key_content()
    content["data"].pop("root")  # a path says where the images lie, not which they are
    content["training"].pop("seed")
    if versions := declared_versions(form):
        content["plugins"] = versions
    text = json.dumps([KEY_VERSION, _unsigned(content)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _unsigned(content: Any) -> Any:  # noqa: ANN401 - plain data
    """The same with 0.0 for -0.0."""
    if isinstance(content, dict):
        return {name: _unsigned(value) for name, value in content.items()}
    return content + 0.0 if isinstance(content, float) else content


def run_key(trial: TrialConfig) -> str:
    """The config_key with the seed: the name of one run."""
    return f"{config_key(trial)}-s{trial.training.seed}"


def key_as_written(trial: TrialConfig) -> str:
    """The run_key of a trial taken as it stands: what an earlier version, which knew fewer equivalents, called it."""
    return f"{_key_of(trial)}-s{trial.training.seed}"


def form_and_key(trial: TrialConfig) -> tuple[TrialConfig, str]:
    """The canonical form and the run_key of a trial that is known to run, which is not looked at again."""
    form = trial.canonical()
    return form, f"{_key_of(form)}-s{trial.training.seed}"
