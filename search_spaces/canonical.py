"""The canonical form of equivalent configurations, and its keys.

Two files that describe the same run get the same keys. Settings without effect are dropped, and lambda is replaced by
the channel counts that it results in.
"""

import hashlib
import json
from typing import Any

from search_spaces.feasibility import infeasibilities
from search_spaces.kinds import declared_versions
from search_spaces.trial import TrialConfig

KEY_VERSION = 1
"""Part of every key. It is raised when a change of meaning makes old results incomparable."""


def canonical(trial: TrialConfig) -> TrialConfig:
    """Return the form of `trial` that runs, the same for all equivalent trials; one that cannot run is unchanged."""
    if next(infeasibilities(trial), None) is not None:
        return trial
    return trial.canonical()


def config_key(trial: TrialConfig) -> str:
    """Return 16 hexadecimal digits that equivalent configurations share, regardless of the seed."""
    return _key_of(canonical(trial))


def _key_of(form: TrialConfig) -> str:
    content: dict[str, Any] = form.model_dump(mode="json", exclude={"model"})
    content["model"] = form.model.key_content()
    content["data"].pop("root")  # the path says where the images are stored, not which images they are
    content["training"].pop("seed")
    if versions := declared_versions(form):
        content["plugins"] = versions
    text = json.dumps([KEY_VERSION, _unsigned(content)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _unsigned(content: Any) -> Any:  # noqa: ANN401 - plain data
    """Replace -0.0 by 0.0."""
    if isinstance(content, dict):
        return {name: _unsigned(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_unsigned(value) for value in content]
    return content + 0.0 if isinstance(content, float) else content


def run_key(trial: TrialConfig) -> str:
    """Return the name of one run: the config_key with the seed."""
    return f"{config_key(trial)}-s{trial.training.seed}"


def key_as_written(trial: TrialConfig) -> str:
    """Return the run_key without canonicalizing: the name in an earlier version, which knew fewer equivalents."""
    return f"{_key_of(trial)}-s{trial.training.seed}"


def form_and_key(trial: TrialConfig) -> tuple[TrialConfig, str]:
    """Return the canonical form and the run_key of a trial that is known to run; feasibility is not checked again."""
    form = trial.canonical()
    return form, f"{_key_of(form)}-s{trial.training.seed}"
