"""The front door: configurations and rows with a fault each get a line or two, and legal ones go in.

The files are in ../shared/data/front_door, a part of what was tried with people's own files; names say what
is odd. What a message says is checked here, and that nothing is half-written. Cases of our own come after,
and more in `config/test_yaml_file.py`, `config/test_section.py` and `files/test_user_rows.py`.
"""

import re
from pathlib import Path

import pytest

from glow import cli

ROOT = Path(__file__).resolve().parents[2]
DOOR = ROOT.parent / "shared" / "data" / "front_door"
ABSENT = pytest.mark.skipif(not DOOR.is_dir(), reason="../shared/data/front_door is not here")

NO_FILES = "(no such file|is a folder|no rows|no key)"

CONFIGS = {
    "base": None,
    "09_crlf": None,
    "43_bool_string": None,  # quoted, and yet it can only mean one thing
    "01_misspelt_top": r": seed: unknown key; did you mean 'seeds'\?",
    "03_wrong_type": r": sft\.epochs: input should be a valid integer.*, found 'two'",
    "05_duplicate_key": r":40: the key 'seeds' is in line 8 already; remove one of the two",
    "07_empty": r": is empty; config/own_data\.yaml has what an experiment says",
    "11_negative_lr": r": sft\.learning_rate: input should be greater than 0, found -0\.001",
    "13_nan_lr": r":33: \.nan: a finite number is wanted",
    "15_zero_seeds": r": seeds: list should have at least 1 item",
    "17_seed_neg": r": seeds\.0: input should be greater than or equal to 0, found -1",
    "19_seed_bool": r": seeds: a number is wanted, found true",
    "21_hub_dataset_as_suite": r": suites\.mine: .*openai/gsm8k",
    "25_name_slash": r": name: '\.\./\.\./etc' cannot be the name of a folder here: begin with a letter",
    "27_name_number": r": name: .*found 2026; write it in quotes: '2026'",
    "29_student_hub_branch": r": student: 'Qwen/Qwen2\.5-0\.5B@main' is not a model: .*a pinned commit",
    "31_scheduler_typo": r": sft\.scheduler: input should be 'cosine', 'linear', .*found 'cosin'",
    "33_scalar_root": r": expected a mapping of keys, found str",
    "35_unclosed": r":9: not valid YAML: expected ',' or '\]'.* in line 8\)",
    "37_clamp_reversed": r": objectives\.glow\.clamp: the bounds must satisfy 0 <= low <= high",
    "39_arm_unknown_traj": r": arms\.positive\.trajectories: input should be 'positive', .*found 'positives'",
    "41_huge_epochs": r": sft\.epochs: input should be less than or equal to 1000000, found 1000000000",
    "45_null_section": r": evaluation: nothing is given; give it a value",
    "47_question_eq_answer": r": trajectories\.fields\.response: question, answer and response must be three",
    "49_entropy_zero_precision16": r": sft\.precision: input should be 'fp32' or 'bf16', found 'fp16'",
    "51_suite_empty_none": r": suites_: unknown key; did you mean 'suites'\?",
    "53_yes_no_key": r": name: .*found False; YAML reads no, off or false so: write it in quotes",
    "55_temperature_neg": r": evaluation\.temperature: input should be greater than or equal to 0, found -1",
    "57_1e400": r":33: 1\.0e\+400: a finite number is wanted",
}
"""What is said of each configuration; None: it is legal."""

EITHER_CONFIG = {
    "23_file_not_list": r": trajectories\.files: input should be a valid list.*; write \[examples/",
    "61_dir": rf": trajectories(\.files: .*{NO_FILES}|: .*:1: no key 'correct'; the keys are .*; map it)",
}
"""Those that may go in as well: one file without brackets, and a folder whose files have different keys."""

ROWS = {
    "01_ok": None,
    "03_crlf": None,
    "19_duplicate_rows": None,
    "29_same_question_two_golds": None,
    "31_all_wrong": None,
    "39_finish_unknown": None,
    "41_truncated_flag": None,
    "43_trajectory_id_null": None,
    "05_empty": r": no rows",
    "07_null_response": r":5: 'response' must be text, found null",
    "11_missing_key": r":6: no key 'response'",
    "13_half_line": r":30: not valid JSON",
    "15_truncated.jsonl.gz": r"(:\d+)?: .*(damaged|ends|ended|incomplete|truncated)",
    "21_empty_question": r":3: 'question' is empty",
    "25_huge_int": r":1: not valid JSON .*digits",
    "37_utf16": r"(:1)?: .*(UTF-8|UTF-16|utf-16)",
    "45_label_list": r":1: .*\[True\]",
    "47_finish_list": r":1: 'finish_reason' is \['length'\]",
}
"""The same of rows."""

EITHER_ROWS = {
    "09_number_response": r":\d+: 'response'",
    "17_gz_trailing_garbage.jsonl.gz": r"(:\d+)?: .*",
    "23_nul_byte": r":\d+: .*",
    "27_label_mixed": r":3: .*'yes'",
}
"""Those that may be read with a word about it, as other programs do: a number is its own text, and so on."""


def found(folder: str) -> set[str]:
    return {path.name.removesuffix(".yaml").removesuffix(".jsonl") for path in (DOOR / folder).iterdir()}


@ABSENT
def test_every_file_of_the_front_door_is_known_here() -> None:
    assert found("configs") <= {*CONFIGS, *EITHER_CONFIG}
    assert found("rows") <= {*ROWS, *EITHER_ROWS}


def refusal(errors: str, command: str) -> list[str]:
    """The lines that a command says in the end, without bars of progress."""
    assert "Traceback" not in errors
    lines = [line for line in errors.replace("\r", "\n").splitlines() if "rows/s]" not in line and line]
    assert all(len(line) < 700 for line in lines)
    assert 1 <= len(lines) <= 2
    assert lines[0].startswith(f"{command}: ")
    return [line.removeprefix(f"{command}: ") for line in lines]


@ABSENT
@pytest.mark.parametrize("name", [*CONFIGS, *EITHER_CONFIG])
def test_a_configuration_is_taken_or_refused_with_its_mend(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    file, before = DOOR / "configs" / f"{name}.yaml", sorted(ROOT.iterdir())
    code = cli.main(["check", str(file)])
    shown = capsys.readouterr()
    said = CONFIGS.get(name, EITHER_CONFIG.get(name))
    assert code in ((0, 2) if name in EITHER_CONFIG else (0,) if said is None else (2,))
    if code == 0:
        assert f"{file}: ok: " in shown.out
    else:
        assert said is not None
        lines = refusal(shown.err, "glow check")
        assert any(re.match(re.escape(str(file)) + said, line) for line in lines), lines
    assert sorted(ROOT.iterdir()) == before


@ABSENT
@pytest.mark.parametrize("name", [*ROWS, *EITHER_ROWS])
def test_rows_are_read_or_refused_with_their_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = DOOR / "rows" / (name if name.endswith(".gz") else f"{name}.jsonl")
    words = ["--files", str(file), "--output", str(tmp_path / "rows.jsonl")]
    words += ["--grpo-output", str(tmp_path / "grpo.jsonl"), "--label", "correct"]
    if name == "25_huge_int":
        words = words[:-2]
    code = cli.main(["import", *words])
    shown = capsys.readouterr()
    said = ROWS.get(name, EITHER_ROWS.get(name))
    assert code in ((0, 2) if name in EITHER_ROWS else (0,) if said is None else (2,))
    if code == 0:
        assert (tmp_path / "rows.jsonl").is_file()
    else:
        assert said is not None
        lines = refusal(shown.err, "glow import")
        assert any(re.match(re.escape(str(file)) + said, line) for line in lines), lines
        assert list(tmp_path.iterdir()) == []


BASE = """name: own_data
seeds: [0]
trajectories:
  files: [examples/trajectories.jsonl]
  domain: math
student: scratch
suites:
  math500: {file: examples/math500_stand_in.jsonl}
  mmlu: {file: examples/mmlu_stand_in.jsonl, format: choice}
  bbh: {file: examples/bbh_stand_in.jsonl}
sft:
  epochs: 2
  precision: fp32
evaluation: {max_tokens: 64}
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: own_data", "name: ..", ": name: '..' cannot be the name of a folder here"),
        ("name: own_data", "name: .", ": name: '.' cannot be the name of a folder here"),
        ("name: own_data", "name: -rf", ": name: '-rf' cannot be the name of a folder here"),
        ("name: own_data", "name: off", ": name: input should be a valid string, found False; YAML reads no"),
        ("name: own_data", "name: 2026-11-28", "2026, 11, 28); write it in quotes: '2026-11-28'"),
        ("name: own_data", "name: ~", ": name: nothing is given"),
        ("name: own_data", "name: [a, b]", ": name: input should be a valid string, found ['a', 'b']"),
        ("seeds: [0]", "seeds: 0", ": seeds: input should be a valid list, found 0"),
        ("seeds: [0]", "seeds: [[0]]", ": seeds.0: input should be a valid integer, found [0]"),
        ("seeds: [0]", "seeds: [017]", ":2: 017: a number that begins with 0 is octal"),
        ("seeds: [0]", "seeds: [12:30]", ":2: 12:30: sixties are counted"),
        ("seeds: [0]", "seeds: [0, 0]", ": seeds: seeds must be distinct"),
        ("seeds: [0]", "seeds: [0.5]", ": seeds.0: input should be a valid integer"),
        ("seeds: [0]", f"seeds: [{'9' * 30}]", ": seeds.0: input should be less than or equal to 4294967295"),
        ("seeds: [0]", f"seeds: [{'9' * 6000}]", ":2: 9999"),
        ("  domain: math", "  domain: -math", ": trajectories.domain: name '-math': begin with a letter"),
        ("  domain: math", "  domain: ...", ": trajectories.domain: name '...': begin with a letter"),
        ("  bbh: {", "  -bbh: {", ": suites: name '-bbh': begin with a letter"),
        ("  bbh: {", "  on: {", ":10: the key on is no text to YAML; write it in quotes: 'on'"),
        ("  bbh: {", "  mmlu: {", ":10: the key 'mmlu' is in line 9 already; remove one of the two"),
        ("  epochs: 2", "\tepochs: 2", ":12: not valid YAML: a tab where spaces are wanted"),
        ("  epochs: 2", "  epochs: yes", ": sft.epochs: a number is wanted, found true"),
        ("  epochs: 2", "  epochs: .inf", ":12: .inf: a finite number is wanted"),
        ("  epochs: 2", "  epochs: &a [*a]", ":12: a value within itself"),
        (
            "  precision: fp32",
            "  precision: 32",
            ": sft.precision: input should be 'fp32' or 'bf16', found 32",
        ),
        (
            "evaluation: {max_tokens: 64}",
            "evaluation: [max_tokens]",
            ": evaluation: keys with values are wanted",
        ),
    ],
)
def test_others_like_them_are_refused_with_their_mend(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    old: str,
    new: str,
    said: str,
) -> None:
    monkeypatch.chdir(ROOT)
    assert old in BASE
    file = tmp_path / "own.yaml"
    file.write_text(BASE.replace(old, new, 1), encoding="utf-8")
    assert cli.main(["check", str(file)]) == 2
    lines = refusal(capsys.readouterr().err, "glow check")
    assert any(line.startswith(str(file)) and said in line for line in lines), lines


@pytest.mark.parametrize("written", [BASE.encode("utf-8-sig"), BASE.replace("\n", "\r\n").encode()])
def test_a_mark_of_byte_order_and_ends_of_lines_of_windows_are_no_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], written: bytes
) -> None:
    monkeypatch.chdir(ROOT)
    (tmp_path / "own.yaml").write_bytes(written)
    assert cli.main(["check", str(tmp_path / "own.yaml")]) == 0
    assert "own.yaml: ok: own_data: 1 domain(s)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "written", [BASE.encode("utf-16"), BASE.encode("utf-16-be"), b"\x00\xff" * 50, b"caf\xe9: 1"]
)
def test_what_is_no_text_in_utf_8_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], written: bytes
) -> None:
    (tmp_path / "own.yaml").write_bytes(written)
    assert cli.main(["check", str(tmp_path / "own.yaml")]) == 2
    (line,) = refusal(capsys.readouterr().err, "glow check")
    assert line.startswith(f"{tmp_path / 'own.yaml'}:1: not valid YAML: ")
