"""The recipes of the image: one source of versions, the same in both, and nothing in them that is not there.

No image is built here. What `install.sh` does is tried with stand-ins for apt-get, Python and pip.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "containers"
INSTALL = FOLDER / "install.sh"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def uncommented(file: str) -> str:
    """A recipe without the lines that are comments, its continued lines joined."""
    text = (FOLDER / file).read_text(encoding="utf-8").replace("\\\n", " ")
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def pins() -> dict[str, str]:
    """The lines of pins.env, which shells, Docker, Apptainer and make can all read."""
    found: dict[str, str] = {}
    for line in (FOLDER / "pins.env").read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line:
            assert "=" not in line, f"Apptainer takes this comment for an argument: {line}"
            continue
        named = re.fullmatch(r"([A-Z_]+)=([\w.,-]*)", line)
        assert named is not None, line
        assert named[1] not in found, line
        found[named[1]] = named[2]
    return found


def constraint(name: str) -> str:
    (version,) = re.findall(
        rf"^{re.escape(name)}==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M
    )
    return version


def sections() -> dict[str, str]:
    """The sections of glow.def by name; the header is ""."""
    head, *rest = re.split(r"^%(\w+)\n", uncommented("glow.def"), flags=re.M)
    assert len(rest[::2]) == len(set(rest[::2]))
    return {"": head, **dict(zip(rest[::2], rest[1::2], strict=True))}


# --- versions -------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["Dockerfile", "glow.def", "install.sh"])
def test_a_recipe_names_no_version_of_its_own(file: str) -> None:
    assert re.findall(r"\d+\.\d+[\w.]*|==\s*\d+|sha256", uncommented(file)) == []


def test_no_file_names_a_digest() -> None:
    for file in FOLDER.iterdir():
        if file.suffix != ".sif":
            assert not re.search(r"sha256|[0-9a-f]{40}", file.read_text(encoding="utf-8")), file


def test_both_recipes_take_every_pin_and_nothing_else() -> None:
    wanted = set(pins())
    assert set(re.findall(r"^ARG (\w+)$", uncommented("Dockerfile"), re.M)) == wanted
    assert set(re.findall(r"{{ (\w+) }}", uncommented("glow.def"))) == wanted
    # Docker forgets arguments at FROM: what the script reads has to be said again after it.
    _, _, built = uncommented("Dockerfile").partition("\nFROM ")
    read = {"CUDA", "PYTHON", "SETUPTOOLS", "FLASH_ATTN", "EXTRAS"}
    assert set(re.findall(r"^ARG (\w+)$", built, re.M)) == read
    assert built.index("ARG EXTRAS") < built.index("RUN bash")
    assert set(re.findall(r'(\w+)="{{ \1 }}"', sections()["post"])) == read
    assert read | {"UBUNTU"} == wanted


def test_both_recipes_start_from_the_same_image() -> None:
    (docker,) = re.findall(r"^FROM (\S+)$", uncommented("Dockerfile"), re.M)
    (apptainer,) = re.findall(r"^From: (.+)$", uncommented("glow.def"), re.M)
    assert re.sub(r"\${(\w+)}", r"{{ \1 }}", docker) == apptainer
    assert apptainer == "nvidia/cuda:{{ CUDA }}-devel-ubuntu{{ UBUNTU }}"


def test_cuda_is_that_of_the_pinned_torch() -> None:
    """torch's build on PyPI asks for one cuda-toolkit; its fourth number is of the packaging."""
    assert Version(pins()["CUDA"]).release == Version(constraint("cuda-toolkit")).release[:3]
    runtime = Version(constraint("nvidia-cuda-runtime")).release
    assert Version(pins()["CUDA"]).release[:2] == runtime[:2]


def test_what_constraints_pin_is_pinned_there_alone() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower()
    for name in ("torch", "vllm"):
        assert constraint(name)
        assert name.upper() not in pins()
    assert not re.search(r"^(flash[-_]attn|setuptools)==", text, re.M)


def test_setuptools_is_one_that_torch_and_vllm_take() -> None:
    (torch,) = [one for one in map(Requirement, requires("torch") or ()) if one.name == "setuptools"]
    below = SpecifierSet("<81")  # vLLM 0.31, on Python from 3.12 on
    assert constraint("vllm").startswith("0.31.")
    assert pins()["SETUPTOOLS"] in torch.specifier & below


def test_python_is_one_that_glow_takes() -> None:
    assert pins()["PYTHON"] in SpecifierSet(PROJECT["requires-python"])


def test_the_image_has_every_extra_but_that_of_development() -> None:
    assert set(pins()["EXTRAS"].split(",")) == set(PROJECT["optional-dependencies"]) - {"dev"}


# --- the recipes ----------------------------------------------------------------------------------


def copied_by_docker() -> dict[str, str]:
    found = {}
    for words in re.findall(r"^COPY (.+)$", uncommented("Dockerfile"), re.M):
        *sources, target = words.split()
        found |= {
            source: f"{target}{Path(source).name}" if target.endswith("/") else target for source in sources
        }
    return found


def copied_by_apptainer() -> dict[str, str]:
    return dict(line.split() for line in sections()["files"].strip().splitlines())


def test_both_recipes_copy_the_same_files_which_are_there() -> None:
    assert copied_by_docker() == copied_by_apptainer()
    for source, target in copied_by_docker().items():
        assert (ROOT / source).exists(), source
        assert target == f"/opt/glow/{source}"  # as in a checkout, which may be mounted in their place
    needed = {
        "pyproject.toml",
        "constraints.txt",
        "src",
        PROJECT["readme"],
        "LICENSE",
        "containers/install.sh",
    }
    assert set(copied_by_docker()) == needed


def test_the_definition_has_the_sections_that_it_needs() -> None:
    assert dict(line.split(": ") for line in sections()[""].strip().splitlines()).keys() == {
        "Bootstrap",
        "From",
    }
    assert "Bootstrap: docker\n" in sections()[""]
    assert set(sections()) == {"", "files", "post", "environment", "test", "runscript", "help"}
    assert "bash /opt/glow/containers/install.sh\n" in sections()["post"]
    assert re.search(r"^RUN bash /opt/glow/containers/install.sh$", uncommented("Dockerfile"), re.M)


def test_processes_have_the_same_environment_in_both() -> None:
    (words,) = re.findall(r"^ENV (.+)$", uncommented("Dockerfile"), re.M)
    docker = {key: value.strip('"') for key, value in re.findall(r"(\w+)=(\S*)", words)}
    lines = sections()["environment"].strip().splitlines()
    pairs = (line.split()[1].partition("=") for line in lines)
    apptainer = {key: value.strip('"') for key, _, value in pairs}
    # Apptainer's users are themselves, with their own homes.
    assert docker == apptainer | {"HOME": "/home/glow", "USER": "glow"}
    assert docker["PATH"] == f"{docker['VIRTUAL_ENV']}/bin:$PATH"
    assert docker["LD_LIBRARY_PATH"] == ""
    for name in ("VIRTUAL_ENV", "CUDA_HOME"):
        assert f"{name}={docker[name]}" in sections()["post"]


def test_make_gives_both_the_pins_and_builds_the_image_that_the_rules_name() -> None:
    given = " ".join(f"--build-arg {name}={value}" for name, value in pins().items())
    docker, apptainer = (
        subprocess.run(
            ["make", "--no-print-directory", "-n", target],  # also where `make test` runs this
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for target in ("docker", "apptainer")
    )
    assert docker.strip() == f"docker build {given} --file containers/Dockerfile --tag glow ."
    rules = (ROOT / "workflow" / "rules" / "common.smk").read_text(encoding="utf-8")
    (image,) = re.findall(r'^IMAGE = "(.+?)"', rules, re.M)
    assert apptainer.strip() == f"apptainer build {given} {image} containers/glow.def"


# --- install.sh -----------------------------------------------------------------------------------


def test_the_script_parses() -> None:
    assert subprocess.run(["bash", "-n", INSTALL], capture_output=True, check=False).stderr == b""


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing() -> None:
    found = subprocess.run(["shellcheck", INSTALL], capture_output=True, text=True, check=False)
    assert found.stdout == ""


NOTING = """#!{python}
import json, os, sys
with open("{notes}", "a") as notes:
    forced = os.environ.get("FLASH_ATTENTION_FORCE_BUILD")
    print(json.dumps([sys.argv, os.getcwd(), forced]), file=notes)
if "-c" in sys.argv and "torch" in sys.argv[-1]:
    print("{built}")
"""


class Machine:
    """Where the script finds nothing but stand-ins, which note how they are called and change nothing."""

    def __init__(self, folder: Path, built: str = "13.0") -> None:
        self.folder, self.notes = folder, folder / "notes"
        self.checkout, self.venv = folder / "glow", folder / "venv"
        (self.checkout / "containers").mkdir(parents=True)
        shutil.copy(INSTALL, self.checkout / "containers")
        for name in (folder / "bin" / "apt-get", folder / "bin" / "rm", folder / "bin" / "python3.12"):
            self._program(name, built)
        for name in ("pip", "python"):
            self._program(self.venv / "bin" / name, built)
        (folder / "bin" / "mkdir").symlink_to(shutil.which("mkdir") or "")

    def _program(self, file: Path, built: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(NOTING.format(python=sys.executable, notes=self.notes, built=built))
        file.chmod(0o755)

    def install(self, **changed: str | None) -> subprocess.CompletedProcess[str]:
        given = pins() | {"VIRTUAL_ENV": str(self.venv)} | changed
        environment = {name: value for name, value in given.items() if value is not None}
        return subprocess.run(
            [shutil.which("bash") or "", self.checkout / "containers" / "install.sh"],
            env=environment | {"PATH": str(self.folder / "bin")},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def calls(self) -> list[list[str]]:
        """The words of each call, programs by their names."""
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        called = [json.loads(line) for line in lines]
        assert all(folder == str(self.checkout) for _, folder, _ in called)
        return [[Path(words[0]).name, *words[1:]] for words, _, _ in called]


def test_the_script_installs_glow_with_its_extras_and_flash_attention(tmp_path: Path) -> None:
    machine, given = Machine(tmp_path), pins()
    ended = machine.install()
    assert ended.returncode == 0, ended.stderr
    update, system, lists, environment, glow, _, attention, punkt = machine.calls()
    assert update == ["apt-get", "update"]
    assert {"build-essential", "git", "python3.12", "python3.12-dev", "python3.12-venv"} <= set(system)
    assert lists[:2] == ["rm", "-rf"]
    assert environment == ["python3.12", "-m", "venv", str(machine.venv)]
    pip = ["pip", "install", "-c", "constraints.txt"]
    assert glow == [*pip, "-e", f".[{given['EXTRAS']}]", f"setuptools=={given['SETUPTOOLS']}"]
    assert attention == [*pip, "--no-build-isolation", f"flash-attn=={given['FLASH_ATTN']}"]
    assert punkt == ["python", "-m", "nltk.downloader", "-d", "/usr/share/nltk_data", "punkt_tab"]
    compiled = [json.loads(line)[2] for line in machine.notes.open()]
    assert compiled == [None] * 6 + ["TRUE", None]
    assert (machine.checkout / "src" / "glow").is_dir()  # for Docker, which copies the code only later


def test_flash_attention_and_the_data_of_a_scorer_can_be_left_out(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert machine.install(FLASH_ATTN="", EXTRAS="vllm").returncode == 0
    assert [words[0] for words in machine.calls()][4:] == ["pip", "python"]
    assert machine.calls()[4][4:6] == ["-e", ".[vllm]"]


@pytest.mark.parametrize("name", ["CUDA", "PYTHON", "SETUPTOOLS", "FLASH_ATTN", "EXTRAS", "VIRTUAL_ENV"])
def test_a_pin_that_is_not_given_is_named_before_anything_is_installed(tmp_path: Path, name: str) -> None:
    machine = Machine(tmp_path)
    ended = machine.install(**{name: None})
    assert ended.returncode == 2
    assert f"{name} is not set: give the lines of containers/pins.env as build arguments" in ended.stderr
    assert machine.calls() == []


@pytest.mark.parametrize("built", ["12.9", "13.1", "None"])  # None: a build for CPUs
def test_a_torch_of_another_cuda_ends_the_build(tmp_path: Path, built: str) -> None:
    machine = Machine(tmp_path, built)
    ended = machine.install(CUDA="13.0.3")
    assert ended.returncode == 1
    assert f"torch is built for CUDA {built}, and the image has 13.0.3" in ended.stderr
    assert not any("flash-attn" in word for words in machine.calls() for word in words)
