"""Published figures beside those of the fabricated world, by hand from its constants."""

from pathlib import Path

import pandas as pd
import pytest
import yaml
from fabricated import World, document
from pytest import approx

from glow.reporting.cells import MINUS, Table
from glow.reporting.published import Figure, Published
from glow.reporting.published_tables import (
    ARM_SIGN,
    SETTING_SIGNS,
    UNIT_SIGNS,
    published_cells_table,
    published_table,
    within,
)
from glow.reporting.results import Run
from glow.reporting.statistics import Estimate

REPORTED = str(Path(__file__).parents[3] / "config/reported.yaml")
T1 = 12.706205
ENTRY = {"what": "x", "value": 5.51, "unit": "points or relative %", "source": "z", "arm": "GLOW"}
GLOW = {"measure": "gain_ood", "arm": "glow"}


def world(folder: Path, *entries: dict, of: type[World] = World, **changes: object) -> World:
    """The fabricated world with these published figures; the shipped ones without any."""
    reported = REPORTED
    if entries:
        (folder / "reported.yaml").write_text(yaml.safe_dump({"published": list(entries)}))
        reported = str(folder / "reported.yaml")
    return of(folder / "results", document(reported=reported, **changes)).write()


def lines(table: Table) -> list[dict[str, str]]:
    """The cells of each row, repeated ones too, by heading, with plain minus signs."""
    return [
        {heading: row[key].text.replace(MINUS, "-") for key, heading in table.shown.items()}
        for row in table.rows
    ]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world(tmp_path_factory.mktemp("shipped"))


@pytest.fixture(scope="module")
def table(shipped: World) -> Table:
    return published_table(shipped.results)


# --- figure by figure -----------------------------------------------------------------------------


def test_a_gain_is_compared_in_points_and_in_percent(table: Table) -> None:
    """OOD accuracy of glow 55 and 70, of positive 40 and 50: 17.5 points, or 62.5 / 45 - 1 = 38.9 %."""
    rows = table.frame[table.frame["published_value"] == 5.51].set_index("ours_what")
    points, percent = (
        rows.loc[f"OOD gain of glow, {unit} (if of alpha 1, not clamped)"]
        for unit in ("in points", "relative, in %")
    )
    assert (points["ours_unit"], percent["ours_unit"]) == ("points", "relative %")
    assert (points["ours_mean"], points["difference"]) == (approx(17.5), approx(17.5 - 5.51))
    assert (percent["ours_mean"], percent["difference"]) == (approx(350 / 9), approx(350 / 9 - 5.51))
    # 15 and 20 by seed: the t interval reaches from -14.3 to 49.3
    assert points["ours_low"] == approx(17.5 - 2.5 * T1, abs=1e-4)
    assert (points["within"], points["n"]) == ("yes", 2)
    # its interval is worked out in test_measures: from 1.0 to 91.0 %
    assert (percent["within"], percent["ours_low"]) == ("yes", approx(1.0, abs=0.1))
    released = rows.loc["OOD gain of glow_released, in points (if of alpha 1, clamped)"]
    assert (released["ours_mean"], released["difference"]) == (approx(7.5), approx(1.99))
    texts = {row["Ours: what"]: row for row in lines(table) if row["Published value"].startswith("5.51")}
    shown = texts["OOD gain of glow, in points (if of alpha 1, not clamped)"]
    assert shown["Ours, 95 % interval"] == "+17.5 [-14.3, +49.3]"
    assert shown["Ours less published"] == "+12.0"
    assert len(texts) == 4


@pytest.mark.parametrize(
    ("value", "said"), [(-14.3, "no, below it"), (-14.2, "yes"), (49.2, "yes"), (49.3, "no, above it")]
)
def test_the_side_of_our_interval_on_which_a_value_lies(tmp_path: Path, value: float, said: str) -> None:
    """Ours is from 17.5 - 2.5 * 12.7062 = -14.27 to 49.27 points."""
    entry = {**ENTRY, "value": value, "unit": "points", "ours": [GLOW]}
    table = published_table(world(tmp_path, entry).results)
    assert table.rows[0]["within"].text == f"{said} (another model; domain not known)"
    assert table.frame.loc[0, "within"] == said


def figure(value: float) -> Figure:
    return Figure(Published(**{**ENTRY, "value": value}), value)


def test_the_bounds_are_within_and_without_an_interval_over_seeds_nothing_can_be_said() -> None:
    ours = Estimate(1.0, 0.5, 0.0, 2.0, 5)
    assert [within(ours, figure(value)) for value in (-0.1, 0.0, 2.0, 2.1)] == [
        "no, below it", "yes", "yes", "no, above it",
    ]  # fmt: skip
    assert within(Estimate(1.0, 0.5, 0.0, 2.0, 1), figure(1.0)) == "cannot be said: one seed"
    assert within(Estimate(1.0, None, None, None, 5), figure(1.0)) == "cannot be said: no interval"


def test_with_one_seed_nothing_is_said(tmp_path: Path) -> None:
    rows = published_table(world(tmp_path, seeds=[1]).results).frame
    compared = rows[rows["ours_mean"].notna() & rows["difference"].notna()]
    assert len(compared) == 12
    assert set(compared["within"]) == {"cannot be said: one seed"}


def test_what_is_not_measured_says_why(table: Table) -> None:
    rows = table.frame.set_index("published_value")
    absent = "no GRPO from glow_alpha2; no GRPO from glow_released_alpha2"
    for value, more in ((72.82, ""), (76.47, f"; {absent}"), (3.65, "")):
        mmlu = rows.loc[value]
        assert mmlu["ours_what"] == f"not measured here: no suite mmlu{more}"
        assert mmlu["within"] == "cannot be said: not measured"
        assert mmlu[["ours_mean", "difference", "n"]].isna().all()
    patterns = rows.loc[22]
    assert (patterns["ours_what"], patterns["within"]) == ("nothing to compare it with", "—")
    assert {row["Published value"] for row in lines(table)} >= {"3.65 points (derived: 76.47 - 72.82)", "22"}


@pytest.mark.parametrize(
    ("own", "changes", "why"),
    [
        ({"measure": "gain_ood", "arm": "glwo"}, {}, "no arm glwo"),
        ({"measure": "gain_ood", "arm": "positive"}, {}, "no arm to compare it with"),
        ({"measure": "gain_ood_general", "arm": "glow"}, {}, "no OOD group general"),
        (
            {"measure": "gain_in_domain", "arm": "glow"},
            {"suites": {"lists": {"families": ["sorting"]}}},
            "no in-domain suite",
        ),
    ],
)
def test_the_reasons_why_something_is_not_measured(
    tmp_path: Path, own: dict, changes: dict, why: str
) -> None:
    (row,) = lines(published_table(world(tmp_path, {**ENTRY, "ours": [own]}, **changes).results))
    assert row["Ours: what"] == f"not measured here: {why}"


def test_nothing_after_grpo_is_measured_without_it_or_from_what_it_does_not_start_from(
    tmp_path: Path,
) -> None:
    own = {"measure": "grpo_gain", "arm": "glow", "suite": "lists"}
    entry = {**ENTRY, "unit": "points", "ours": [own]}
    (tmp_path / "without").mkdir()
    without = world(tmp_path / "without", entry, grpo=None)
    assert lines(published_table(without.results))[0]["Ours: what"] == "not measured here: no GRPO"
    (tmp_path / "some").mkdir()
    some = world(tmp_path / "some", entry, grpo={"steps": 20, "max_tokens": 64, "initialisations": ["glow"]})
    assert lines(published_table(some.results))[0]["Ours: what"] == "not measured here: no GRPO from positive"


def test_without_entropy_its_change_is_not_measured(tmp_path: Path) -> None:
    entry = {**ENTRY, "unit": "relative %", "ours": [{"measure": "entropy_change", "arm": "negative"}]}
    made = world(tmp_path, entry, evaluation={"max_tokens": 64, "entropy_samples": 0})
    assert lines(published_table(made.results))[0]["Ours: what"] == "not measured here: no entropy"


def test_what_is_only_nearest_is_shown_and_not_compared(table: Table) -> None:
    """There is no group general: the mean over all OOD suites stands there, of negative 45 and 50 over 45."""
    row = table.frame.set_index("published_value").loc[11.97]
    assert row["ours_what"] == "nearest, as there is no OOD group general: OOD gain of negative, in points"
    assert row["ours_mean"] == approx((5 + 0) / 2)
    assert (row["within"], pd.isna(row["difference"])) == ("cannot be said: another quantity", True)


def test_groups_are_compared_where_there_are_such(tmp_path: Path) -> None:
    """negative on lists 4, 4 against 3, 5 of ten, and on choice 5, 6 against 5, 5."""
    suites = document()["suites"]
    suites["lists"]["group"], suites["choice"]["group"] = "general", "other"
    rows = published_table(world(tmp_path, suites=suites).results).frame
    of = {value: rows[rows["published_value"] == value].set_index("ours_unit") for value in (11.97, 4.11)}
    assert of[11.97]["ours_mean"].to_dict() == {"points": approx(0), "relative %": approx(0, abs=1e-9)}
    assert of[4.11]["ours_mean"].to_dict() == {"points": approx(5), "relative %": approx(10)}
    assert of[4.11].loc["relative %", "difference"] == approx(5.89)
    assert not rows["ours_what"].str.contains("nearest").any()


def test_the_entropy_is_compared_in_every_way_that_it_may_be_meant(table: Table) -> None:
    """negative 0.3 and 0.5 against 0.2 and 0.4: a geometric mean of 1.5 and 1.25; all 0.25 and 0.25."""
    rows = table.frame[table.frame["published_value"] == 35.67].set_index("ours_what")
    negative, every = 100 * (1.875**0.5 - 1), 100 * ((1.25 * 0.625) ** 0.5 - 1)
    assert len(rows) == 4
    for over in ("on chains without their ends", "on all responses with their ends"):
        for arm, change in (("negative", negative), ("all", every)):
            row = rows.loc[f"entropy change of {arm}, {over}, relative, in %"]
            assert (row["ours_mean"], row["difference"]) == (approx(change), approx(change - 35.67))


class WithMmlu(World):
    """Of ten questions of MMLU: positive 5 and glow 6 right, and after GRPO 7 and 8."""

    def correct(self, run: Run, suite: str) -> list[bool]:
        if suite != "mmlu":
            return super().correct(run, suite)
        count = {"positive": 5, "glow": 6}.get(run.name, 5) + 2 * (run.kind == "grpo")
        return [index < count for index in range(10)]


@pytest.fixture(scope="module")
def with_mmlu(tmp_path_factory: pytest.TempPathFactory) -> World:
    suites = document()["suites"] | {"mmlu": {"task": "mmlu", "format": "choice"}}
    return world(tmp_path_factory.mktemp("mmlu"), of=WithMmlu, suites=suites)


def test_the_pair_of_mmlu_and_its_difference_meet_ours_in_both_readings(with_mmlu: World) -> None:
    frame = published_table(with_mmlu.results).frame
    rows = frame[frame["published_value"].isin([72.82, 76.47, 3.65])].set_index("ours_what")
    found = rows[["published_value", "ours_mean", "difference"]].round(6).to_dict("index")
    before, after = "if {} is GLOW before RL", "if {} is RL from positive-only SFT"
    points = "mmlu after GRPO from glow, less that from positive-only SFT, in points"
    wanted = {
        f"mmlu of glow, in % ({before.format('it')})": (72.82, 60.0, -12.82),
        f"mmlu after GRPO from positive, in % ({after.format('it')})": (72.82, 70.0, -2.82),
        "mmlu after GRPO from glow, in % (if of alpha 1, not clamped)": (76.47, 80.0, 3.53),
        "mmlu after GRPO from glow_released, in % (if of alpha 1, clamped)": (76.47, 70.0, -6.47),
        f"mmlu, change by GRPO from glow, in points ({before.format('72.82')})": (3.65, 20.0, 16.35),
        f"{points} ({after.format('72.82')})": (3.65, 10.0, 6.35),
    }
    assert {what: tuple(row.values()) for what, row in found.items()} == wanted


@pytest.mark.parametrize(
    ("student", "published", "said"),
    [
        (None, ["Qwen2.5-7B"], "another model"),
        (None, [], "another model"),
        ("Qwen/Qwen2.5-7B", ["Qwen2.5-3B", "Qwen2.5-7B"], "same model"),
        ("Qwen/Qwen2.5-7B", ["qwen/qwen2.5-7b"], "same model"),
        ("Qwen/Qwen2.5-7B-Instruct", ["Qwen2.5-7B"], "another model"),
        ("Qwen/Qwen2.5-7B", [], "model not known"),
    ],
)
def test_whether_the_model_is_the_same_as_far_as_names_say(
    tmp_path: Path, student: str | None, published: list[str], said: str
) -> None:
    hub = {"hub": student, "revision": "d149729398750b98c0af14eb82c78cfe92750796"}
    changes = {} if student is None else {"student": hub}
    entry = {**ENTRY, "unit": "points", "students": published, "domain": "arithmetic", "ours": [GLOW]}
    row = published_table(world(tmp_path, entry, **changes).results).frame.iloc[0]
    assert (row["within_model"], row["within_domain"]) == (said, "same domain")


def two_domains(tmp_path: Path) -> World:
    problems = {"problems": {"families": ["ledger"], "train": 10, "grpo": 5}}
    suites = document()["suites"] | {
        "choice": {"families": ["sorting"], "format": "choice", "domain": "math"}
    }
    return world(tmp_path, domains={"arithmetic": problems, "math": problems}, suites=suites)


def test_a_figure_of_a_domain_stands_beside_ours_of_that_domain_alone(tmp_path: Path) -> None:
    rows = published_table(two_domains(tmp_path).results).frame
    ours = {value: set(own["ours_what"]) for value, own in rows.groupby("published_value")}
    assert ours[15.81] == {
        f"OOD gain of {arm}, trained on math, {unit} (if of alpha 1, {clamped})"
        for arm, clamped in (("glow", "not clamped"), ("glow_released", "clamped"))
        for unit in ("in points", "relative, in %")
    }
    assert {what.split(", ")[1] for what in ours[5.51]} == {"trained on arithmetic", "trained on math"}
    domains = dict(zip(rows["published_value"], rows["within_domain"], strict=True))
    assert (domains[15.81], domains[5.51]) == ("same domain", "domain not known")


def test_what_repeats_the_published_figure_above_is_left_blank(table: Table) -> None:
    rows, words = table.lines[1:], list(table.shown)
    first = [row for row in rows if row[words.index("published_what")]]
    assert len(first) == 9  # one a published figure
    assert rows[1][words.index("published_what")] == rows[1][words.index("published")] == ""
    assert all(row[words.index("published")] for row in first)
    assert all(row[words.index("ours_what")] and row[words.index("within")] for row in rows)
    assert (table.frame[["published_what", "published_setting_source"]] != "").all(axis=None)


def test_the_setting_says_what_is_known_and_what_is_not(table: Table) -> None:
    texts = {row["Published value"]: row["Published setting and source"] for row in lines(table)}
    assert texts["5.51 % (points or relative: not known)"] == (
        "Qwen2.5-7B, GLOW, over positive-only SFT, OOD; not known: domain; alpha, beta and clamp are "
        "not known [ACL 2026, abstract, arXiv 2601.04992]"
    )
    assert "not known: student, domain, arm, questions" in texts["35.67 % (relative change)"]
    row = table.frame.set_index("published_value").loc[15.81].iloc[0]
    assert (row["published_setting_student"], row["published_setting_domain"]) == (
        "Qwen2.5-7B",
        "trained on math",
    )
    assert row["published_setting_arm"] == "not known"
    assert row["published_setting_version"] == "first version"


# --- arm by arm -----------------------------------------------------------------------------------


def by_arm(made: World) -> dict[tuple[str, ...], dict[str, str]]:
    """(domain where there are several, arm, whose) -> heading -> text."""
    table = published_cells_table(made.results)
    names = [heading for heading in ("Domain", "Arm", "Whose") if heading in table.shown.values()]
    return {tuple(row.pop(name) for name in names): row for row in lines(table)}


GAINS_OF_GLOW = "5.51 (other model, domain?, arm?, unit?), 15.81 (other model, other domain, arm?, unit?)"


def test_every_result_has_its_published_figure_or_says_that_none_is_known(shipped: World) -> None:
    rows = by_arm(shipped)
    assert list(rows)[:2] == [("base", "ours"), ("base", "published")]
    assert len(rows) == 2 * 6
    assert rows["glow", "published"] == {
        "ID gain": "none known", "OOD gain": GAINS_OF_GLOW, "Entropy change": "none known",
    }  # fmt: skip
    assert rows["glow", "ours"]["OOD gain"] == "+17.5 ± 31.8"
    assert rows["negative", "published"]["Entropy change"] == "35.67 (other model, domain?, arm?)"
    assert set(rows["base", "published"].values()) == {"none known"}
    assert set(rows["positive", "published"].values()) == {"reference"}
    assert set(rows["positive", "ours"].values()) == {"reference"}
    frame = published_cells_table(shipped.results).frame.set_index(["arm", "whose"])
    assert frame.loc[("glow", "published"), "gain_ood_published"] == GAINS_OF_GLOW
    assert frame.loc[("glow", "ours"), "gain_ood_mean"] == approx(17.5)


def test_accuracies_of_a_suite_have_a_column_where_a_figure_is_of_it(with_mmlu: World) -> None:
    rows = by_arm(with_mmlu)
    glow, positive = rows["glow", "published"], rows["positive", "published"]
    before, after = (f"{value} (other model, domain?, arm?)" for value in (72.82, 76.47))
    assert (glow["mmlu"], glow["mmlu after GRPO"]) == (before, after)
    assert (positive["mmlu"], positive["mmlu after GRPO"]) == ("none known", before)
    assert rows["glow", "ours"]["mmlu after GRPO"].startswith("80.0 ± ")
    assert "lists" not in glow


def test_what_is_published_of_a_domain_stands_at_that_domain(tmp_path: Path) -> None:
    rows = by_arm(two_domains(tmp_path))
    assert rows["arithmetic", "glow", "published"]["OOD gain"] == "5.51 (other model, domain?, arm?, unit?)"
    assert rows["math", "glow", "published"]["OOD gain"] == (
        "5.51 (other model, domain?, arm?, unit?), 15.81 (other model, arm?, unit?)"
    )
    assert len(rows) == 2 * 2 * 6


QWEN, LLAMA = (
    {"hub": hub, "revision": "d149729398750b98c0af14eb82c78cfe92750796"}
    for hub in ("Qwen/Qwen2.5-7B", "meta-llama/Llama-3.1-8B")
)
WHOLE = {"unit": "points", "students": ["Qwen2.5-7B"], "domain": "arithmetic"}


@pytest.mark.parametrize(
    ("student", "changes", "said"),
    [
        (QWEN, {}, "5.51"),
        (LLAMA, {}, "5.51 (other model)"),
        (QWEN, {"students": []}, "5.51 (model?)"),
        (QWEN, {"domain": "math"}, "5.51 (other domain)"),
        (QWEN, {"domain": None}, "5.51 (domain?)"),
        (QWEN, {"arm": None}, "5.51 (arm?)"),
        (QWEN, {"ours": [{**GLOW, "reading": "if of alpha 1"}]}, "5.51 (arm?)"),
        (QWEN, {"unit": "points or relative %"}, "5.51 (unit?)"),
        (QWEN, {"unit": "relative %"}, "5.51 (relative)"),
    ],
)
def test_a_figure_is_marked_by_what_differs_and_what_is_not_known(
    tmp_path: Path, student: dict, changes: dict, said: str
) -> None:
    entry = {**ENTRY, **WHOLE, "ours": [GLOW], **changes}
    made = world(tmp_path, {key: value for key, value in entry.items() if value is not None}, student=student)
    assert by_arm(made)["glow", "published"]["OOD gain"] == said


def test_the_caption_explains_every_sign(shipped: World) -> None:
    read = published_cells_table(shipped.results).caption.read
    signs = [*SETTING_SIGNS.values(), ARM_SIGN, *UNIT_SIGNS.values()]
    assert [sign for sign in signs if sign not in read] == []


def test_a_change_of_entropy_in_percent_has_no_sign_of_its_unit(tmp_path: Path) -> None:
    own = {"measure": "entropy_change", "arm": "glow"}
    made = world(tmp_path, {**ENTRY, **WHOLE, "unit": "relative %", "ours": [own]}, student=QWEN)
    assert by_arm(made)["glow", "published"]["Entropy change"] == "5.51"


def test_groups_and_grpo_of_some_have_their_cells(tmp_path: Path) -> None:
    suites = document()["suites"] | {"mmlu": {"task": "mmlu", "format": "choice"}}
    suites["lists"]["group"], suites["choice"]["group"] = "general", "near"
    grpo = {"steps": 20, "max_tokens": 64, "initialisations": ["glow"]}
    rows = by_arm(world(tmp_path, of=WithMmlu, suites=suites, grpo=grpo))
    negative = rows["negative", "published"]
    assert (negative["OOD general gain"], negative["OOD near gain"]) == (
        "11.97 (other model, other domain, unit?)",
        "none known",
    )
    assert rows["positive", "ours"]["mmlu after GRPO"] == "—"
    assert rows["glow", "ours"]["mmlu after GRPO"].startswith("80.0")
