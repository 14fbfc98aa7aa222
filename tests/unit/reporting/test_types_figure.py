"""The figure of what responses consist of."""

from pathlib import Path

import matplotlib as mpl
import pytest
from fabricated import World, document
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from pytest import approx

from glow.reporting.figures import STYLE
from glow.reporting.palette import TYPE_COLOURS, contrast
from glow.reporting.results import Run
from glow.reporting.types_figure import answer_types, draw_response_types, trajectory_types


class Mixed(World):
    """t-3, a wrong one of two, is bare; in evaluation `negative` says every second answer bare."""

    def trajectories(self, domain: str) -> list[dict]:
        bare = {"response": r"\boxed{1}", "extracted": "1"}
        return [row | (bare if row["trajectory_id"] == "t-3" else {}) for row in super().trajectories(domain)]

    def response(self, run: Run, question: int) -> str:
        return r"\boxed{1}" if run.name == "negative" and question % 2 else super().response(run, question)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> World:
    return Mixed(tmp_path_factory.mktemp("mixed")).write()


def shares(axes: Axes) -> dict[str, list[float]]:
    """Name of a bar -> the lengths of its parts."""
    names = [label.get_text() for label in axes.get_yticklabels()]
    bars = [axes.containers[start : start + len(TYPE_COLOURS)] for start in range(0, 4 * len(names), 4)]
    return {
        name: [patch.get_width() for part in own for patch in part]
        for name, own in zip(names, bars, strict=True)
    }


def test_trajectories_and_answers_by_type(mixed: World) -> None:
    with mpl.rc_context(STYLE):
        drawn, inside, outside = draw_response_types(mixed.results).axes
    # 8 trajectories: 4 right and one wrong with a chain, one bare, one unparsed, one truncated
    assert shares(drawn) == {
        "all trajectories": [approx(62.5), approx(12.5), approx(12.5), approx(12.5)],
        "positives": [100, 0, 0, 0],
        "negatives": [50, 50, 0, 0],
    }
    for axes in (inside, outside):
        found = shares(axes)
        assert list(found) == ["base", "positive", "negative", "all", "glow", "glow_released"]
        assert found["negative"] == [approx(50), approx(50), 0, 0]
        assert found["glow"] == [approx(100), 0, 0, 0]
    assert [axes.get_title("left") for axes in (inside, outside)] == [
        "Answers, in-domain", "Answers, out of domain",
    ]  # fmt: skip


def test_numbers_in_bars_can_be_read(mixed: World) -> None:
    drawn = draw_response_types(mixed.results).axes[0]
    assert [text.get_text() for text in drawn.texts] == ["62", "12", "12", "12", "100", "50", "50"]
    for text in drawn.texts:
        x, y = text.get_position()
        (ground,) = {
            to_hex(patch.get_facecolor()) for patch in drawn.patches if patch.contains_point(
                drawn.transData.transform((x, y)))
        }  # fmt: skip
        assert contrast(to_hex(text.get_color()), ground) >= 4.5


def test_what_does_not_exist_has_no_shares(tmp_path: Path) -> None:
    class Right(World):
        def trajectories(self, domain: str) -> list[dict]:
            return [row | {"verdict": "correct"} for row in super().trajectories(domain)]

        def tokens(self, run: Run, question: int) -> None:
            return None  # answered by likelihood

        def entropy(self, run: Run) -> None:
            return None

    results = Right(tmp_path, document(grpo=None)).write().results
    assert trajectory_types(results, "arithmetic", "negatives") is None
    assert answer_types(results, "arithmetic", "base", "ood") is None
    drawn, inside, _ = draw_response_types(results).axes
    assert list(shares(drawn)) == ["all trajectories", "positives"]
    assert [text.get_text() for text in inside.texts] == ["no response was sampled"]
