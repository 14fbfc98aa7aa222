"""What the tests of GRPO share: problems, a stand-in for the verifier, a run that nothing interrupted."""

from pathlib import Path

import pytest
from grpo_runs import LetterVerifier, train, write_problems

from glow.training import grpo as stage


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    return write_problems(tmp_path / "problems.jsonl")


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "Verifier", LetterVerifier)


@pytest.fixture(scope="session")
def whole(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of SETTINGS that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "Verifier", LetterVerifier)
        train(write_problems(folder / "problems.jsonl"), tiny_model, folder / "run")
    return folder / "run"
