import numpy as np
import pytest
import torch
from PIL import Image

from convnn.data import DATASETS
from convnn.training import TrainState
from tests.tune_jobs.kept import SMALL, checkpointed
from tests.tune_jobs.shipping import Recorded
from tune_jobs.errors import SweepError, UsageError
from tune_jobs.loading import load_model
from tune_jobs.record.folder import checkpoint_path

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def sweep(sweep: Recorded) -> Recorded:
    """A sweep with a small trial."""
    sweep.ledger.add_trial({}, SMALL, "a")
    return sweep


@pytest.fixture
def trained(sweep: Recorded) -> TrainState:
    """The trained state of its trial."""
    return checkpointed(sweep)


def test_the_best_trial_is_loaded_as_the_published_model(sweep: Recorded, trained: TrainState) -> None:
    before = torch.get_rng_state()
    loaded = load_model(sweep.folder.path)
    assert torch.equal(torch.get_rng_state(), before)
    assert (loaded.trial, loaded.epoch, loaded.config, loaded.model.training) == (1, 3, SMALL, False)
    assert loaded.classes[3] == "cat"
    assert (loaded.mean, loaded.std) == (DATASETS["cifar10"].mean, DATASETS["cifar10"].std)
    assert trained.fold is not None
    folded = trained.model.get_parameter("classifier.0.weight")
    assert loaded.model.get_parameter("classifier.0.weight").shape[1] == 49 * folded.shape[1]
    images = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(loaded.model(images), trained.model.eval()(images), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("trained")
def test_images_can_be_arrays_tensors_or_pil_images(sweep: Recorded) -> None:
    loaded = load_model(sweep.folder.path, "a")
    mean, std = (torch.tensor(numbers).view(3, 1, 1) for numbers in (loaded.mean, loaded.std))
    with torch.inference_mode():
        expected = loaded.model((torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255 - mean) / std).argmax(dim=1)
    assert loaded.predict(IMAGES).tolist() == expected.tolist()
    assert loaded.predict(torch.from_numpy(IMAGES)).tolist() == expected.tolist()
    assert loaded.predict([Image.fromarray(image) for image in IMAGES]).tolist() == expected.tolist()


@pytest.mark.usefixtures("trained")
def test_images_of_another_size_or_type_are_refused(sweep: Recorded) -> None:
    loaded = load_model(sweep.folder.path, 1)
    with pytest.raises(ValueError, match=r"shape \(28, 28, 3\) for image 0; resize"):
        loaded.predict([Image.new("RGB", (28, 28))])
    with pytest.raises(ValueError, match="got float64"):
        loaded.predict(IMAGES / 255)


def test_the_error_for_a_missing_checkpoint_names_the_field_that_keeps_them(sweep: Recorded) -> None:
    with pytest.raises(UsageError, match="no trial of tracked has a result yet"):
        load_model(sweep.folder.path)
    sweep.attempt([1], "complete")
    with pytest.raises(UsageError, match=r"trial 1 has no checkpoint.*resources\.keep_best"):
        load_model("tracked", storage=sweep.folder.path.parent)
    checkpoint_path(sweep.folder.attempt("a", 1), 1).parent.mkdir(parents=True)
    checkpoint_path(sweep.folder.attempt("a", 1), 1).write_bytes(b"half")
    with pytest.raises(SweepError, match="is damaged"):
        load_model(sweep.folder.path)
