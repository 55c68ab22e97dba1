"""Stopping rules in the command line's notation: `none`, `asha:10/3`, `best:10/4`, `file`, `none+enough:0.3/0.9`."""

from dataclasses import dataclass, replace
from typing import TypeVar

import yaml
from pydantic import ValidationError

from search_spaces.base import Config
from search_spaces.reading.likeness import nearest
from search_spaces.settings import RULES, Auto, Enough, Grid, NoStopping, SamplerSettings, Stopping
from tune_jobs.errors import UsageError

FILE, BEST, ENOUGH = "file", "best", "+enough:"


Made = TypeVar("Made", bound=Config)


@dataclass(frozen=True)
class NamedRule:
    """A rule and its name on the command line."""

    name: str
    stopping: Stopping
    best: tuple[int, int] | None = None
    """For the baseline `best`: the epochs for which all trials train, and the number of best trials that finish."""


def default_rules(epochs: int, own: Stopping | None) -> str:
    """Return no stopping, successive halving and the two-step baseline; the file's rule comes first, if it has one."""
    first = max(1, epochs // 10)
    of_file = f"{FILE}," if own is not None and own.kind != "none" else ""
    return f"{of_file}none,asha:{first}/3,{BEST}:{first}/4"


def rules_of(
    text: str, epochs: int, own: Stopping | None = None, search: SamplerSettings | None = None
) -> list[NamedRule]:
    """Return the rules that a user lists, separated by commas.

    A rule is its kind, as below `stopping` in a sweep file, then a colon and its settings in order, separated by
    slashes. Omitted settings have their defaults. `+enough:WITHIN/CONFIDENCE` after it sets `stopping.enough`.

    Args:
        text: The user's text.
        epochs: Number of epochs of a trial.
        own: The rule in the sweep file, which `file` stands for.
        search: The search in the sweep file.

    Raises:
        UsageError: If a rule is unknown, or a setting is not valid.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError(f"--rules must name a rule, got {text!r}; for example --rules none,asha:10/3.")
    return [_whole_rule(name, epochs, own, search) for name in dict.fromkeys(names)]


def without_prior(rule: NamedRule) -> NamedRule:
    """Return the rule without recorded sweeps, for simulations on these very runs."""
    if not isinstance(rule.stopping, Auto):
        return rule
    return replace(rule, stopping=rule.stopping.model_copy(update={"prior": "none"}))


def _whole_rule(name: str, epochs: int, own: Stopping | None, search: SamplerSettings | None) -> NamedRule:
    base, suffixed, given = name.partition(ENOUGH)
    rule = _rule(base, epochs, own)
    if not suffixed:
        return rule
    if rule.best is not None:
        raise UsageError(f"--rules {name}: {BEST} has no {ENOUGH.strip('+:')}; write none{ENOUGH}{given}.")
    if isinstance(search, Grid):
        raise UsageError(
            f"--rules {name}: stopping.enough needs trials in random order, and FILE searches a grid in file order; "
            f"add --set 'search={{sampler: random, trials: N}}'."
        )
    fields, said = list(Enough.model_fields), given.split("/")
    if len(said) > len(fields):
        raise UsageError(f"--rules {name}: enough has {len(fields)} settings ({'/'.join(fields)}), got {len(said)}.")
    values = dict(zip(fields, map(yaml.safe_load, said), strict=False))
    made = _made(name, Enough, values, f"{base}{ENOUGH}{'/'.join(fields).upper()}")
    return NamedRule(name, rule.stopping.model_copy(update={"enough": made}))


def _rule(name: str, epochs: int, own: Stopping | None) -> NamedRule:
    kind, _, given = name.partition(":")
    values = [yaml.safe_load(value) for value in given.split("/")] if given else []
    if kind == FILE:
        if own is None or values:
            raise UsageError(f"--rules {name}: `{FILE}` is the rule in the sweep file, with its settings; give FILE.")
        return NamedRule(name, own)
    if kind == BEST:
        return _best(name, values, epochs)
    settings = RULES.named(kind)
    if settings is None:
        known = [*RULES.words(), BEST, FILE]
        raise UsageError(f"--rules {name}: there is no rule {kind!r}; {nearest(kind, known)}")
    fields = [field for field in settings.model_fields if field not in Stopping.model_fields]
    if len(values) > len(fields):
        raise UsageError(
            f"--rules {name}: {kind} has {len(fields)} settings ({'/'.join(fields) or 'none'}), got {len(values)}."
        )
    given_settings = {"kind": kind, **dict(zip(fields, values, strict=False))}
    made = _made(name, settings, given_settings, f"{kind}:{'/'.join(fields).upper()}")
    grace = getattr(made, "grace_epochs", 0)
    if grace >= epochs > 1:
        raise UsageError(
            f"--rules {name}: grace_epochs must be below the {epochs} epochs of a trial, got {grace}; "
            f"no trial would ever be stopped."
        )
    return NamedRule(name, made)


def _made(name: str, settings: type[Made], values: dict[str, object], way: str) -> Made:
    try:
        return settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"--rules {name}: {where} {first['msg'].replace('Input should be', 'must be')}, got {first['input']!r}; "
            f"write {way}."
        ) from error


def _best(name: str, values: list[object], epochs: int) -> NamedRule:
    first, keep = (*values, 1, 1)[:2] if len(values) == 2 else (None, None)  # noqa: PLR2004
    if not (isinstance(first, int) and isinstance(keep, int) and 1 <= first < epochs and keep >= 1):
        raise UsageError(
            f"--rules {name}: must be {BEST}:I/K, to train all trials for I epochs (1 to {epochs - 1}) and finish the "
            f"best K; for example {BEST}:{max(1, epochs // 10)}/4."
        )
    return NamedRule(name, NoStopping(), (first, keep))
