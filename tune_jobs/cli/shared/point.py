"""Read a file that describes one configuration."""

from search_spaces import Decided, SweepSpec, TrialConfig
from tune_jobs.errors import UsageError


def only_point(spec: SweepSpec, file: str) -> TrialConfig:
    """Return the only configuration that a file describes.

    Raises:
        UsageError: If a field varies.
    """
    domains = spec.space.domains()
    if domains:
        ways = "".join(f"\n  --set {leaf.path}=..." for leaf in domains)
        raise UsageError(f"{file} describes more than one configuration; give each of these a value:{ways}")
    return spec.space.resolve(Decided({}))
