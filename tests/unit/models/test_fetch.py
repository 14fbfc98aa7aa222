"""fetch: models from a hub on this machine, which answers as the real one is taken to do, or fails."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from standin_hub import COMMIT, Fault, StandIn

from glow.config import Hub
from glow.errors import UserError
from glow.files import hub_files
from glow.files.hub import LONGEST_WAIT_S, PATIENCE_S, TRIES, TRIES_UNREACHED
from glow.models import fetch as stage
from glow.models.fetch import fetch

NAME = "org/name"
WHAT = f"{NAME}@{COMMIT[:12]}"
SETTINGS = Hub(hub=NAME, revision=COMMIT)
WEIGHTS = b"\x00\x01" * 2000
FILES = {
    "config.json": b'{"model_type": "qwen2"}',
    "generation_config.json": b"{}",
    "model.safetensors": WEIGHTS,
    "tokenizer.json": b'{"version": "1.0"}',
    "chat_template.jinja": b"{{ messages }}",
    "merges.txt": b"a b\n",
    "LICENSE": b"Apache",
}
LEFT = {
    "pytorch_model.bin": b"pickle" * 500,
    "optimizer.pt": b"pickle",
    "modeling_custom.py": b"print(1)",
    "original/model.safetensors": WEIGHTS,
    "README.md": b"# A model",
}


@pytest.fixture
def model(hub: StandIn) -> StandIn:
    hub.files[f"models/{NAME}"] = FILES | LEFT
    return hub


def facts(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    assert found["stage"] == "fetch"
    assert found["settings"] == {"hub": NAME, "revision": COMMIT, "trust_remote_code": False}
    return found["facts"]


def names(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def refusal(folder: Path) -> list[str]:
    """The lines of what is said where no model can be fetched; there is none then."""
    with pytest.raises(UserError) as raised:
        fetch(SETTINGS, folder / "base")
    assert not (folder / "base").exists()
    return str(raised.value).split("\n")


def downloads(model: StandIn) -> list[str]:
    return [
        request.path.rpartition("/")[2]
        for request in model.requests
        if request.method == "GET" and "/resolve/" in request.path
    ]


# --- what is fetched ------------------------------------------------------------------------------


def test_weights_and_tokenizer_are_fetched_and_no_pickle(
    tmp_path: Path, model: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch(SETTINGS, tmp_path / "base")
    assert names(tmp_path / "base") == {*FILES, "manifest.json"}
    assert {name: (tmp_path / "base" / name).read_bytes() for name in FILES} == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["base"]
    assert "org/name@0123456789ab, 0.00 GB in 7 files" in capsys.readouterr().out
    assert sorted(downloads(model)) == sorted(FILES)


def test_the_manifest_has_commit_sizes_and_hashes(tmp_path: Path, model: StandIn) -> None:
    fetch(SETTINGS, tmp_path / "base")
    found = facts(tmp_path / "base")
    assert found["revision"] == COMMIT
    assert found["endpoint"] == model.endpoint
    assert found["bytes"] == sum(map(len, FILES.values()))
    assert found["files"] == {
        name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in FILES.items()
    }


def test_the_code_of_a_trusted_model_is_fetched(tmp_path: Path, model: StandIn) -> None:
    fetch(SETTINGS.model_copy(update={"trust_remote_code": True}), tmp_path / "base")
    assert names(tmp_path / "base") == {*FILES, "modeling_custom.py", "manifest.json"}


@pytest.mark.parametrize("files", [["config.json", "pytorch_model.bin"], ["model.safetensors"], []])
def test_a_repository_without_a_safe_model_is_refused_before_anything_is_downloaded(
    files: list[str], tmp_path: Path, model: StandIn
) -> None:
    model.files[f"models/{NAME}"] = {name: (FILES | LEFT)[name] for name in files}
    assert "has no config.json with safetensors weights" in refusal(tmp_path)[0]
    assert downloads(model) == []


def test_hf_endpoint_names_a_mirror(tmp_path: Path, model: StandIn) -> None:
    """The command as it is typed: the environment alone says where the hub is."""
    words = ["fetch", "--output", str(tmp_path / "base"), "--hub", NAME, "--revision", COMMIT]
    run = subprocess.run(
        [sys.executable, "-c", "import sys; from glow.cli import main; sys.exit(main())", *words],
        env=os.environ
        | {"HF_ENDPOINT": model.endpoint, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "0"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert facts(tmp_path / "base")["endpoint"] == model.endpoint


# --- what may pass --------------------------------------------------------------------------------


def test_a_busy_hub_is_asked_again_when_it_says(tmp_path: Path, model: StandIn, slept: list[float]) -> None:
    model.fail("GET /api/models", Fault(429, {"Retry-After": "37"}))
    fetch(SETTINGS, tmp_path / "base")
    assert slept == [37]


def test_waits_grow_while_the_hub_fails(tmp_path: Path, model: StandIn, slept: list[float]) -> None:
    model.fail("GET /api/models", Fault(503), Fault(500), Fault(429, {"Retry-After": "1"}))
    fetch(SETTINGS, tmp_path / "base")
    assert slept == [2, 4, 8]


def test_a_date_is_waited_for(tmp_path: Path, model: StandIn, slept: list[float]) -> None:
    model.fail("GET /api/models", Fault(503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}))
    fetch(SETTINGS, tmp_path / "base")
    assert slept == [2]  # that date has passed


def test_the_end_of_a_limit_is_waited_for(tmp_path: Path, model: StandIn, slept: list[float]) -> None:
    model.fail("GET /api/models", Fault(429, {"RateLimit": '"api";r=0;t=55'}))
    fetch(SETTINGS, tmp_path / "base")
    assert slept == [55]


def test_what_xet_fails_with_may_pass(
    tmp_path: Path, model: StandIn, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client raises RuntimeError, as in github.com/huggingface/xet-core/issues/444."""
    download, failures = stage.snapshot_download, ["Data processing error: CAS service error : IO Error"]

    def fail_once(*arguments: Any, **options: Any) -> None:
        if failures:
            raise RuntimeError(failures.pop())
        download(*arguments, **options)

    monkeypatch.setattr(stage, "snapshot_download", fail_once)
    fetch(SETTINGS, tmp_path / "base")
    assert slept == [2]


def test_a_file_that_fails_is_asked_for_again(tmp_path: Path, model: StandIn, slept: list[float]) -> None:
    model.fail(r"GET .*/model\.safetensors", Fault(503), Fault(502))
    fetch(SETTINGS, tmp_path / "base")
    assert (tmp_path / "base" / "model.safetensors").read_bytes() == WEIGHTS
    assert slept == [2, 4]
    assert downloads(model).count("model.safetensors") == 3


def test_a_file_that_ended_early_is_asked_for_again(
    tmp_path: Path, model: StandIn, slept: list[float]
) -> None:
    etag = hashlib.sha256(WEIGHTS).hexdigest()
    model.fail(r"GET .*/model\.safetensors", Fault(200, {"ETag": etag}, WEIGHTS[:-7]))
    fetch(SETTINGS, tmp_path / "base")
    assert (tmp_path / "base" / "model.safetensors").read_bytes() == WEIGHTS
    assert slept == [2]


def test_after_all_tries_the_files_that_are_complete_stay(
    tmp_path: Path, model: StandIn, slept: list[float]
) -> None:
    model.always(r"GET .*/model\.safetensors", Fault(503))
    lines = refusal(tmp_path)
    assert lines[0].startswith(f"{WHAT}: {model.endpoint} fails (try {TRIES}: ")
    assert "503" in lines[0]
    assert lines[1:] == [
        "Check the network and start again, which goes on from here; or give the path of a local copy."
    ]
    assert slept == [2, 4, 8, 16, 32, 64, LONGEST_WAIT_S]
    model.faults.clear()
    model.requests.clear()
    fetch(SETTINGS, tmp_path / "base")
    assert downloads(model) == ["model.safetensors"]
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_where_the_hub_was_never_reached_few_tries_are_enough(
    tmp_path: Path, model: StandIn, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens at the discard port
    lines = refusal(tmp_path)
    assert lines[0].startswith(f"{WHAT}: http://127.0.0.1:9 fails (try {TRIES_UNREACHED}: Conn")
    assert slept == [2, 4]


def test_a_hub_that_wants_too_long_a_rest_is_not_waited_for(
    tmp_path: Path, model: StandIn, slept: list[float]
) -> None:
    model.fail("GET /api/models", Fault(429, {"Retry-After": str(PATIENCE_S + 1)}))
    assert "asks for 901 s without a request" in refusal(tmp_path)[0]
    assert slept == []


# --- what will not pass ---------------------------------------------------------------------------


def test_terms_that_are_not_accepted_end_it_in_two_lines(
    tmp_path: Path, model: StandIn, slept: list[float]
) -> None:
    gated = {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to model org/name is restricted."}
    model.always("HEAD .*/resolve/", Fault(403, gated))
    assert refusal(tmp_path) == [
        f"{WHAT}: its terms have to be accepted first, at https://huggingface.co/org/name",
        "Then log in with `hf auth login` (or set HF_TOKEN) and start again; "
        "or give the path of a local copy.",
    ]
    assert slept == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(401, {"X-Error-Code": "RepoNotFound"}), "no such model, or it is private (HTTP 401)"),
        (Fault(404, {"X-Error-Code": "RepoNotFound"}), "no such model, or it is private (HTTP 404)"),
        (Fault(404, {"X-Error-Code": "RevisionNotFound"}), "the hub has no such commit"),
        (Fault(403), "no such model, or it is private (HTTP 403)"),
        (Fault(410), "cannot be read"),
    ],
)
def test_what_will_not_pass_is_not_tried_again(
    fault: Fault, said: str, tmp_path: Path, model: StandIn, slept: list[float]
) -> None:
    model.always("/api/models", fault)
    lines = refusal(tmp_path)
    assert said in lines[0]
    assert len(lines) == 2
    assert len(model.requests) == 1
    assert slept == []


def test_a_mirror_that_leaves_out_what_is_needed_is_not_asked_again(
    tmp_path: Path, model: StandIn, slept: list[float]
) -> None:
    model.always("HEAD .*/resolve/", Fault(200))
    assert refusal(tmp_path)[0].startswith(f"{WHAT}: cannot be read: FileMetadataError: ")
    assert slept == []


def test_offline_nothing_is_asked(
    tmp_path: Path, model: StandIn, monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    lines = refusal(tmp_path)
    assert "the environment says not to use the network (HF_HUB_OFFLINE)" in lines[0]
    assert lines[1].endswith("or give the path of a local copy.")
    assert model.requests == [] and slept == []


# --- what is not whole ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_file_that_is_not_what_the_hub_lists_is_named_and_fetched_anew(
    name: str, tmp_path: Path, model: StandIn
) -> None:
    model.said[name] = FILES[name][:-1] + b"?"
    first, second = refusal(tmp_path)
    assert first.startswith(f"{WHAT}: {name}: not what the hub lists ({len(FILES[name])} bytes")
    assert hashlib.sha256(model.said[name]).hexdigest() in first
    assert second.startswith("It was deleted: start again")
    model.said.clear()
    model.requests.clear()
    fetch(SETTINGS, tmp_path / "base")
    assert downloads(model) == [name]


def with_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    usage = shutil.disk_usage("/")._replace(free=free)
    monkeypatch.setattr(hub_files.shutil, "disk_usage", lambda _: usage)


def test_a_disk_without_room_is_refused_before_the_download(
    tmp_path: Path, model: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.files[f"models/{NAME}"] = FILES | {"model.safetensors": bytes(30_000_000)}
    with_free(monkeypatch, 20_000_000)
    assert refusal(tmp_path) == [
        f"{WHAT}: 0.03 GB are still to be downloaded, and 0.02 GB are free in {tmp_path}: make "
        "room and start again; what is complete is kept"
    ]
    assert downloads(model) == []


def test_room_is_needed_for_what_is_missing_alone(
    tmp_path: Path, model: StandIn, monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    model.always(r"GET .*/tokenizer\.json", Fault(503))
    refusal(tmp_path)
    model.faults.clear()
    left = next((tmp_path / ".base.0123456789ab.partial" / ".cache").rglob("download")) / "x.1.incomplete"
    left.write_bytes(b"of a process that was killed")
    with_free(monkeypatch, len(FILES["tokenizer.json"]))
    fetch(SETTINGS, tmp_path / "base")
    assert not left.exists()


def test_a_disk_that_fills_up_keeps_what_is_complete(
    tmp_path: Path, model: StandIn, monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    download = stage.snapshot_download

    def fill(*arguments: Any, **options: Any) -> None:
        download(*arguments, **options)
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(stage, "snapshot_download", fill)
    assert refusal(tmp_path) == [
        f"{WHAT}: the disk is full: make room and start again; what is complete is kept"
    ]
    assert slept == []
    assert (tmp_path / ".base.0123456789ab.partial" / "model.safetensors").is_file()
