import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]
CODE = """
import sys
from dataclasses import replace
from pathlib import Path
from tests.tune_jobs.worker.test_attempt import task
from tune_jobs.executors.ray_tune.worker import _logged
from tune_jobs.worker.entrypoint import run_attempt
place = Path(sys.argv[1])
missing = task(place / "1")
(place / "images").mkdir()
(place / "images" / "train-00000-of-00001.parquet").write_bytes(b"PAR1")
data = missing.config.data.model_copy(update={"name": "cifar10", "root": str(place / "images")})
missing = replace(missing, config=missing.config.model_copy(update={"data": data}))
told = []
run_attempt(missing, told.append, _logged)
print("after", flush=True)
assert [report.failure for report in told] == ["data"], told
"""


def test_the_log_has_an_attempts_output_and_why_it_failed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    log = (tmp_path / "1" / "log.txt").read_text()
    assert "Traceback" in log
    assert "data: " in log
    assert log.endswith("after\n")  # later output of the process, too
