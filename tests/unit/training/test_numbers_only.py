"""A checkpoint of somebody else's may hold code where numbers belong: refused in a line, and never run."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from torch.distributed.checkpoint import FileSystemWriter, save

from glow.errors import UserError
from glow.training.numbers_only import numbers_only

FORCED = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


class Code:
    """What a pickle may be made of: a call of any function."""

    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.touched),)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint-1"
    (folder / "global_step1").mkdir(parents=True)
    return folder


@pytest.mark.parametrize("file", ["optimizer.pt", "global_step1/mp_rank_00_model_states.pt"])
def test_code_among_numbers_is_refused_even_where_a_library_would_run_it(checkpoint: Path, file: str) -> None:
    touched = checkpoint / "touched"
    torch.save({"state": torch.ones(2), "more": Code(touched)}, checkpoint / file)
    with (
        pytest.raises(
            UserError, match=r"checkpoint-1: not read, as it may run code .*posix\.mkdir.*delete it"
        ),
        numbers_only(checkpoint),
    ):
        torch.load(checkpoint / file, weights_only=False)
    assert not touched.exists()


def test_code_in_what_a_checkpoint_of_shares_says_of_itself_is_refused(checkpoint: Path) -> None:
    folder, touched = checkpoint / "optimizer_0", checkpoint / "touched"
    folder.mkdir()
    (folder / ".metadata").write_bytes(pickle.dumps({"a": Code(touched)}))
    said = r"\.metadata: not read, as it may run code \(posix\.mkdir\)"
    with pytest.raises(UserError, match=said), numbers_only(checkpoint):
        pass
    assert not touched.exists()
    (folder / ".metadata").write_bytes(b"junk")
    with pytest.raises(UserError, match=r"\.metadata: .*delete"), numbers_only(checkpoint):
        pass


def test_numbers_are_read_and_the_environment_is_as_before(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    state = {
        "step": 3,
        "values": torch.ones(2),
        "settings": [{"lr": 0.1, "betas": (0.9, 0.95), "none": None}],
    }
    torch.save(state, checkpoint / "optimizer.pt")
    save(
        {"model": {"w": torch.ones(4, 2)}, "n": 3},
        storage_writer=FileSystemWriter(checkpoint / "optimizer_0"),
    )
    before = dict(os.environ)
    with numbers_only(checkpoint):
        assert torch.load(checkpoint / "optimizer.pt", weights_only=False)["step"] == 3
    assert dict(os.environ) == before
