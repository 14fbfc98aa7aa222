"""The figure of pass@k."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from fabricated import World, document
from pytest import approx
from test_tables import Sampled

from glow.reporting.captions import figure_names
from glow.reporting.figures import STYLE
from glow.reporting.palette import arm_colours
from glow.reporting.pass_figure import draw_pass_at_k

SAMPLED = {"max_tokens": 64, "samples": 4}


def test_a_line_for_each_arm_over_k(tmp_path: Path) -> None:
    world = Sampled(tmp_path, document(grpo=None, evaluation=SAMPLED)).write()
    assert "pass_at_k" in figure_names(world.results.experiment)
    with mpl.rc_context(STYLE):
        figure = draw_pass_at_k(world.results)
    assert [axes.get_title("left") for axes in figure.axes] == ["In-domain", "Out of domain"]
    names = list(arm_colours(world.results.experiment))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == names
    for axes in figure.axes:
        assert len(axes.lines) == len(names)
        assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "4"]
        for line in axes.lines:
            # 2, 1 and 0 of 4 samples are right: pass@2 is 1 - 1/6, 1 - 3/6 and 0
            assert list(line.get_ydata()) == [approx(25), approx(100 * (5 / 6 + 1 / 2) / 3), approx(200 / 3)]
        # arms stand beside one another, around the k that is meant
        assert np.prod([line.get_xdata()[1] for line in axes.lines]) ** (1 / len(names)) == approx(2)
        assert len({line.get_xdata()[0] for line in axes.lines}) == len(names)


def test_bars_are_one_standard_error(tmp_path: Path) -> None:
    (inside, _) = draw_pass_at_k(
        Sampled(tmp_path, document(grpo=None, evaluation=SAMPLED)).write().results
    ).axes
    low, high = inside.collections[0].get_segments()[0][:, 1]
    # shares right of three questions: 1/2, 1/4 and 0; the seeds are alike
    error = 100 * np.std([0.5, 0.25, 0], ddof=1) / 3**0.5
    assert (low, high) == (approx(25 - error), approx(25 + error))


def test_one_sample_has_no_such_figure(fabricated: World) -> None:
    assert "pass_at_k" not in figure_names(fabricated.results.experiment)


def test_where_nothing_was_sampled_it_says_so(tmp_path: Path) -> None:
    class Likely(World):
        def tokens(self, run: object, question: int) -> None:
            return None

        def entropy(self, run: object) -> None:
            return None

    axes = draw_pass_at_k(Likely(tmp_path, document(seeds=[0], grpo=None)).write().results).axes[0]
    assert [text.get_text() for text in axes.texts] == ["no suite was sampled"]
