"""What can be seen: contrasts by WCAG 2.2, of figures and of the page, on light and on dark ground."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

import glow.reporting
from glow.reporting.palette import (
    ARM_COLOURS,
    INK,
    MUTED,
    OTHER_COLOURS,
    TYPE_COLOURS,
    VERDICT_COLOURS,
    WHITE,
    contrast,
    ink_on,
    luminance,
)

CSS = (Path(glow.reporting.__file__).parent / "report.css").read_text(encoding="utf-8")


def variables(block: str) -> dict[str, str]:
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", block))


def theme(is_dark: bool) -> dict[str, str]:
    """The colours of the page."""
    light, dark = re.findall(r":root \{\s*(.*?)\}", CSS, re.DOTALL)[:2]
    return variables(light) | (variables(dark) if is_dark else {})


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", WHITE) == 21
    assert contrast("#777777", WHITE) == approx(4.478, abs=0.001)  # the usual example of a grey that fails
    assert contrast(WHITE, "#ff0000") == approx(1.05 / (0.2126 + 0.05))
    assert luminance("#0a0a0a") == approx(10 / 255 / 12.92)  # the straight part of the curve


@pytest.mark.parametrize(
    "colours", [ARM_COLOURS, VERDICT_COLOURS, TYPE_COLOURS, dict(enumerate(OTHER_COLOURS))]
)
def test_marks_and_lines_stand_out_from_white(colours: dict[str, str]) -> None:
    assert {name: colour for name, colour in colours.items() if contrast(colour, WHITE) < 3} == {}
    assert len({colour.lower() for colour in colours.values()}) == len(colours)


def test_arms_have_no_colour_twice() -> None:
    assert not set(map(str.lower, OTHER_COLOURS)) & set(map(str.lower, ARM_COLOURS.values()))


@pytest.mark.parametrize("ink", [INK, MUTED])
def test_text_in_figures_can_be_read(ink: str) -> None:
    assert contrast(ink, WHITE) >= 4.5


@given(st.integers(0, 0xFFFFFF))
def test_text_on_any_ground_can_be_read(number: int) -> None:
    ground = f"#{number:06x}"
    assert contrast(ink_on(ground), ground) >= 4.5


@pytest.mark.parametrize("is_dark", [False, True])
@pytest.mark.parametrize("ground", ["page", "card", "stripe"])
@pytest.mark.parametrize("ink", ["ink", "soft", "accent", "good", "bad", "open", "failed"])
def test_text_on_the_page_can_be_read(is_dark: bool, ground: str, ink: str) -> None:
    colours = theme(is_dark)
    assert contrast(colours[ink], colours[ground]) >= 4.5


@pytest.mark.parametrize("is_dark", [False, True])
def test_shaded_text_can_be_read_and_shades_differ(is_dark: bool) -> None:
    colours = theme(is_dark)
    for ground in ("theirs", "slip"):
        assert contrast(colours["ink"], colours[ground]) >= 4.5
    assert contrast(colours["soft"], colours["theirs"]) >= 4.5
    assert len({colours[ground] for ground in ("page", "card", "stripe", "theirs", "slip")}) == 5


def test_paper_is_white_in_any_mode() -> None:
    # Dark colours are those of screens alone, so a page that is printed has the others.
    assert "@media screen and (prefers-color-scheme: dark)" in CSS
    assert CSS.count("prefers-color-scheme") == 1


def test_every_colour_of_the_page_has_both_modes() -> None:
    light, dark = theme(False), re.findall(r":root \{\s*(.*?)\}", CSS, re.DOTALL)[1]
    assert set(variables(dark)) == set(light)
    assert set(re.findall(r"var\(--(\w+)\)", CSS)) <= set(light)
