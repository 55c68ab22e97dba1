"""A task for a worker, sent by the driver as plain data that any machine of a cluster can read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_spaces import TrialConfig
from search_spaces.settings import Holdout, Paper


@dataclass(frozen=True)
class Task:
    """One attempt to run. Every path must be valid on all machines."""

    run_key: str
    attempt: int
    config: TrialConfig
    alone: bool
    """Whether it gets a whole GPU."""

    folder: Path
    """The attempt's folder."""

    resume_from: tuple[Path, ...]
    """Checkpoints of the trial's earlier attempts, the newest first."""

    stop_file: Path
    """Exists once the sweep stops."""

    ledger: Path
    """Exists if the machine can access the sweep's folder."""

    evaluation: Holdout | Paper
    device: str
    """`cpu` or `cuda`."""

    threads: int
    checkpoint_every_s: float
    keep_last: bool
    """Whether the state after the last epoch is saved, too."""

    @property
    def id(self) -> str:
        """The task's unique name within its sweep."""
        return f"{self.run_key}-{self.attempt}"

    def encode(self) -> dict[str, Any]:
        """Encode the task for a worker."""
        return {
            **vars(self),
            "config": self.config.model_dump_json(by_alias=True),
            "folder": str(self.folder),
            "resume_from": [str(path) for path in self.resume_from],
            "stop_file": str(self.stop_file),
            "ledger": str(self.ledger),
            "evaluation": self.evaluation.model_dump(),
        }


def decode_task(sent: dict[str, Any]) -> Task:
    """Decode a task that was sent to a worker."""
    evaluation = Holdout if sent["evaluation"]["protocol"] == "holdout" else Paper
    return Task(
        run_key=sent["run_key"],
        attempt=sent["attempt"],
        config=TrialConfig.model_validate_json(sent["config"]),
        alone=sent["alone"],
        folder=Path(sent["folder"]),
        resume_from=tuple(Path(path) for path in sent["resume_from"]),
        stop_file=Path(sent["stop_file"]),
        ledger=Path(sent["ledger"]),
        evaluation=evaluation(**sent["evaluation"]),
        device=sent["device"],
        threads=sent["threads"],
        checkpoint_every_s=sent["checkpoint_every_s"],
        keep_last=sent["keep_last"],
    )
