"""Fixtures that several test files share."""

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import hypothesis
import pytest
from standin_hub import StandIn, serving

# As in the workflow's jobs: threads that wait for each other make tiny models many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell has what it starts in the background ignore Ctrl-C, and all below inherit that: some tests send it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples on every run, and no deadline: a loaded machine must not fail a right test.
hypothesis.settings.register_profile("glow", deadline=None, derandomize=True)
hypothesis.settings.load_profile("glow")


Served = Callable[[str, str | None, str], list[dict[str, Any]]]

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


_NETWORK = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE", "TRANSFORMERS_OFFLINE")
_NETWORK_AT_START = {name: os.environ.get(name) for name in _NETWORK}


@pytest.fixture(autouse=True)
def _network_as_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """What evaluations set for their process, when imported, holds for no process that a test starts."""
    for name, value in _NETWORK_AT_START.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A hub on this machine that this process asks in place of the real one, with an empty cache."""
    import datasets
    from huggingface_hub import close_session, constants

    cache = tmp_path_factory.mktemp("hub")
    with serving() as standin:
        monkeypatch.setattr(constants, "ENDPOINT", standin.endpoint)
        address = standin.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", standin.endpoint)
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache / "datasets")
        yield standin
        close_session()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[Served], list[tuple[object, ...]]]:
    """Puts rows in place of hub data sets, of which those columns are seen that are asked for.

    It takes what gives the rows of (data set, configuration, split), and returns what will be asked for: that
    and the commit.
    """
    from glow.data import problems
    from glow.files.user_rows import Row
    from glow.suites import task_problems

    def serve(served: Served) -> list[tuple[object, ...]]:
        asked: list[tuple[object, ...]] = []

        class Split:
            """In place of `glow.data.hub.HubSplit`."""

            facts: ClassVar = {"rows": "some"}

            def __init__(
                self,
                dataset: str,
                revision: str,
                config: str | None,
                split: str,
                columns: Iterable[str],
                folder: Path | None = None,
            ) -> None:
                self.columns, self.found = set(columns), served(dataset, config, split)
                asked.append((dataset, config, split, revision))

            def rows(self) -> Iterator[Row]:
                for number, row in enumerate(self.found, start=1):
                    yield Row(f"hub:{number}", {key: row[key] for key in row.keys() & self.columns})

        for module in (problems, task_problems):
            monkeypatch.setattr(module, "HubSplit", Split)
        return asked

    return serve


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that are to be waited before something is asked again, in turn: nobody waits.

    Other sleepers, such as those that wait for a lock, sleep on.
    """
    from huggingface_hub import file_download
    from huggingface_hub.utils import _http

    from glow.files import hub

    seconds: list[float] = []
    hurried = SimpleNamespace(**vars(time) | {"sleep": seconds.append})
    for module in (hub, file_download, _http):
        monkeypatch.setattr(module, "time", hurried)
    return seconds


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
