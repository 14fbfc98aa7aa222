"""Fixtures that several test files share."""

import os
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import pytest

# As in the workflow's jobs: threads that wait for each other make tiny models many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples on every run, and no deadline: a loaded machine must not fail a right test.
hypothesis.settings.register_profile("glow", deadline=None, derandomize=True)
hypothesis.settings.load_profile("glow")


EXTRAS = {
    "bitsandbytes": ("bitsandbytes",),
    "deepspeed": ("deepspeed",),
    "gym": ("reasoning_gym",),
    "ifeval": ("langdetect", "immutabledict", "nltk"),
    "tensorboard": ("tensorboard",),
}
"""The extras of pyproject.toml that a test may need, by `@pytest.mark.extra(name)`, and their packages."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs an extra that is not installed, and say so."""
    for item in items:
        for marker in item.iter_markers("extra"):
            if not all(map(find_spec, EXTRAS[marker.args[0]])):
                item.add_marker(pytest.mark.skip(reason=f"the extra `{marker.args[0]}` is not installed"))


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is kept between runs (`glow.files.hash_cache`) is kept here, and not in the user's home."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data beside the repository; tests that need it are skipped where it is absent."""
    path = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"{path} is absent (real data, not part of the repository)")
    return path


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved Qwen2 checkpoint of width 32 with the miniature's tokenizer, hardly trained."""
    from glow.config import Pretrain
    from glow.miniature.pretrain import pretrain

    path = tmp_path_factory.mktemp("models") / "tiny"
    settings = Pretrain(
        role="teacher",
        families=["ledger", "turns"],
        phases={"all": {"steps": 20}},
        batch_size=4,
        hidden_size=32,
        layers=2,
        heads=2,
    )
    pretrain(path, settings)
    return path
