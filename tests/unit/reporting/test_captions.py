import subprocess
import sys

import pytest
from fabricated import World, document

from glow.config import Experiment
from glow.experiment import load
from glow.reporting.captions import caption, figure_names, student_text, table_names
from glow.reporting.figures import DRAWERS
from glow.reporting.tables import BUILDERS


def experiment(**changes: object) -> Experiment:
    return load(document(**changes), "test")


def test_every_table_and_figure_has_a_builder_and_a_caption(fabricated: World) -> None:
    stated = [{"arm": "glow", "over": "all", "scope": "ood"}]
    evaluation = {"max_tokens": 64, "samples": 2}
    whole = experiment(reported="config/reported.yaml", margin=2.0, contrasts=stated, evaluation=evaluation)
    assert table_names(whole) == list(BUILDERS)
    assert figure_names(whole) == list(DRAWERS)
    for kind, names in (("tables", BUILDERS), ("figures", DRAWERS)):
        for name in names:
            text = caption(kind, name, whole)
            assert all(part.endswith((".", ".)")) for part in (text.shows, text.read, text.unit, text.n))
            assert "{" not in text.short + text.read


@pytest.mark.parametrize("seeds", [[4], [10001, 10002, 10003, 10004, 10005], list(range(12))])
def test_what_stands_in_sight_of_a_caption_has_three_lines(seeds: list[int]) -> None:
    stated = [{"arm": "glow", "over": "all", "scope": "ood"}]
    suites = document()["suites"] | {f"suite_{place}": {"families": ["sorting"]} for place in range(20)}
    evaluation = {"max_tokens": 64, "samples": 4}
    whole = experiment(
        reported="config/reported.yaml", margin=2.0, contrasts=stated, suites=suites, seeds=seeds,
        evaluation=evaluation,
    )  # fmt: skip
    for kind, names in (("tables", BUILDERS), ("figures", DRAWERS)):
        for name in names:
            assert len(caption(kind, name, whole).short) <= 280, name


def test_what_was_not_run_is_left_out() -> None:
    arms = {"positive": {"trajectories": "positive", "objective": "plain"}}
    evaluation = {"max_tokens": 8, "entropy_samples": 0}
    small = experiment(grpo=None, arms=arms, evaluation=evaluation, selection=None, sft={})
    assert table_names(small) == [
        "gates", "main", "comparisons", "chance", "variance", "samples", "steps", "suites", "data",
        "contamination",
    ]  # fmt: skip

    assert figure_names(small) == ["response_types", "main", "suites", "sft_curves"]


def test_without_positives_or_sampled_suites_there_is_nothing_to_compare_or_count() -> None:
    arms = {"all": {"trajectories": "all", "objective": "plain"}}
    suites = {"choice": {"families": ["sorting"], "format": "choice"}}
    evaluation = {"max_tokens": 8, "entropy_samples": 0}
    small = experiment(grpo=None, arms=arms, evaluation=evaluation, suites=suites, seeds=[0])
    assert table_names(small) == [
        "gates", "main", "chance", "steps", "losses", "epochs", "suites", "data", "contamination",
    ]  # fmt: skip


def test_published_figures_have_a_table_by_arm_where_arms_are_compared() -> None:
    reported = "config/reported.yaml"
    arms = {"all": {"trajectories": "all", "objective": "plain"}}
    assert {"published", "published_cells"} <= set(table_names(experiment(reported=reported)))
    alone = table_names(experiment(reported=reported, arms=arms))
    assert [name for name in alone if name.startswith("published")] == ["published"]


def test_seeds_needed_for_the_margin_are_explained_where_there_is_a_margin() -> None:
    said = "Seeds needed for 5 points is the same for a true difference of 5 points"
    assert said in caption("tables", "comparisons", experiment(margin=5.0)).read
    assert "Seeds needed for" not in caption("tables", "comparisons", experiment()).read
    assert "Seeds needed for" not in caption("tables", "comparisons", experiment(margin=5.0, seeds=[0])).read


def test_seeds_and_suites_are_filled_in() -> None:
    text = caption("tables", "main", experiment(seeds=[4]))
    assert "1 seed (4)" in text.short
    assert "ID: arithmetic;" in text.read


@pytest.mark.parametrize(("lists", "mentioned"), [("general", False), ("other", True)])
def test_groups_are_named_where_the_table_has_their_means(lists: str, mentioned: bool) -> None:
    content = document()
    for name, group in (("arithmetic", "maths"), ("lists", lists), ("choice", "general")):
        content["suites"][name]["group"] = group  # arithmetic is in-domain
    text = caption("tables", "main", load(content, "test")).read
    assert ("over each group of OOD suites" in text) is mentioned


def test_captions_name_what_the_errors_are_over() -> None:
    one, two = (caption("tables", "main", experiment(seeds=seeds)).read for seeds in ([4], [4, 5]))
    assert "covers the choice of questions only (there is one seed" in one
    assert "nothing is starred" in one
    assert "covers the choice of questions and of seeds, and is missing where all answers are alike." in two
    assert "Holm's correction" in two
    few, many = (
        caption("tables", "comparisons", experiment(seeds=list(range(seeds)))).read for seeds in (7, 8)
    )
    assert "with fewer than 8 seeds, it is at least as long as the t interval over seed means." in few
    assert "fewer" not in many


def test_captions_say_what_the_sign_between_mean_and_error_is() -> None:
    for name in ("main", "samples", "grpo", "chance", "data", "entropy", "weights"):
        one, few, many = (
            caption("tables", name, experiment(seeds=list(range(seeds)))).read for seeds in (1, 7, 8)
        )
        assert "of its 95 % t interval" in few or "of 95 % t intervals" in few, name
        assert "of its 95 % t interval" in one or "of 95 % t intervals" in one, name
        assert "standard error" in many, name
        assert "standard error" not in few, name


def test_captions_tell_of_contrasts_and_a_margin_only_where_there_are() -> None:
    stated = [{"arm": "glow", "over": "all", "scope": "ood"}]
    with_them = {"contrasts": stated, "margin": 2.5}
    for name, words in (("main", ["its order"]), ("comparisons", ["‡", "within ±2.5 points"])):
        plain, more = (caption("tables", name, experiment(**own)).read for own in ({}, with_them))
        assert all(word in more and word not in plain for word in words)


def test_captions_say_what_all_seeds_share() -> None:
    own = {"trajectories": {"files": ["examples/trajectories.jsonl"], "grpo": 5}}
    ours = dict.fromkeys(("domains", "teacher", "sampling"))
    suites = {"lists": {"families": ["sorting"]}}
    text = caption("tables", "variance", experiment(**own, **ours, suites=suites)).read
    assert "The base model and the trajectories are the same for all seeds" in text


def test_captions_are_light() -> None:
    code = (
        "import sys, glow.reporting.captions\n"
        "heavy = {'numpy', 'pandas', 'scipy', 'matplotlib', 'torch'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("student", "text"),
    [
        (
            {"scratch": {"layers": 2, "hidden_size": 32}},
            "a 2-layer Qwen2 model of width 32, trained from scratch",
        ),
        (f"Qwen/Qwen2.5-7B@{'a' * 40}", "Qwen/Qwen2.5-7B at aaaaaaa"),
    ],
)
def test_student_in_words(student: object, text: str) -> None:
    assert student_text(experiment(student=student)) == text
