"""Any text in a configuration and any name of a user's file reaches the command that it is for, unchanged."""

import re
from pathlib import Path

import pytest
import yaml
from flow import TINY, Job, parsed, planned, write
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from glow import config
from glow.config.options import section_from
from glow.experiment import read

WILD = st.text(
    st.sampled_from("{}[]()<>$`'\"\\!#%&*?;|~=:, \n\tabcseed0129\u00e9\u4e2d\U0001f600"),
    min_size=1,
    max_size=24,
)
PIECES = st.lists(
    st.sampled_from(("{answer}", "{seed}", "{42}", "{{x}}", "{wildcards.seed}", "{log}", "$HOME", "%s", "--"))
    | WILD,
    min_size=1,
    max_size=4,
).map("".join)
FILES = PIECES.map(lambda name: name.replace("\n", "").strip(" .") or "{}")


@settings(max_examples=6, deadline=None, phases=[Phase.generate])
@given(
    st.fixed_dictionaries({"system": PIECES, "instruction": PIECES}),
    PIECES,
    st.lists(FILES, min_size=4, max_size=4),
)
def test_any_text_and_any_file_name_reaches_its_command(
    tmp_path_factory: pytest.TempPathFactory, prompt: dict[str, str], field: str, names: list[str]
) -> None:
    directory = tmp_path_factory.mktemp("wild")
    rows, suite, template, model = (f"{k}{name}" for k, name in enumerate(names))
    (directory / f"{rows}.jsonl").write_text("{}\n")
    (directory / f"{suite}.jsonl").write_text("{}\n")
    (directory / f"{template}.jinja").write_text("{{ messages }}")
    (directory / model).mkdir()
    (directory / model / "config.json").write_text("{}")
    document = yaml.safe_load(TINY.read_text())
    for key in ("domains", "teacher", "sampling", "shards", "grpo"):
        del document[key]
    document |= {
        "student": str(directory / model),
        "prompt": {**prompt, "chat_template": f"{template}.jinja", "thought": [f"<{field}>", f"</{field}>"]},
        "extraction": "pattern",
        "extraction_pattern": f"({re.escape(field)})",
        "trajectories": {"files": [f"{rows}.jsonl"], "fields": {"question": f"q{field}"}},
        "suites": {"gsm8k": {"file": f"{suite}.jsonl"}},
    }
    file = write(directory, document)
    jobs = planned(directory, file)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(directory)
        check_wild(jobs, read(file), Path(f"{rows}.jsonl"), directory / model)


def check_wild(jobs: list[Job], experiment: config.Experiment, rows: Path, model: Path) -> None:
    """Every job gets the names and texts of the configuration, unchanged."""
    seen = set()
    for job in jobs:
        options = parsed(job)
        if job.rule == "import_trajectories":
            assert options.files == [rows]
            assert section_from(options, config.ImportSettings) == experiment.importing
        elif job.rule == "suite":
            assert section_from(options, config.Suite).file == experiment.suites["gsm8k"].file
        elif job.rule == "verify":
            assert section_from(options, config.VerdictSettings) == experiment.verdicts
        elif job.rule in ("sft", "evaluate"):
            assert options.model in (model, Path("results", "tiny", job_model(job)))
            assert section_from(options, config.Prompt) == experiment.prompt
        seen.add(job.rule)
    assert {"import_trajectories", "suite", "verify", "sft", "evaluate"} <= seen


def job_model(job: Job) -> str:
    """The trained model that a job evaluates."""
    wildcards = dict(pair.split("=") for pair in job.wildcards.split(", "))
    return f"{wildcards['model']}/seed-{wildcards['seed']}/model" if "model" in wildcards else ""
