"""The figures that others published (`config/reported.yaml`): the form of the file, and its reader.

Each has its value, its unit, its source and what is known of its setting, and names the quantities of ours
that come nearest to it (`glow.reporting.counterparts`). `glow.reporting.published_tables` sets them beside
ours.
"""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from glow.config import Section, message, read_document, unknown
from glow.errors import UserError

Measure = Literal[
    "gain_in_domain", "gain_ood", "gain_ood_general", "gain_ood_other", "entropy_change",
    "accuracy", "grpo_accuracy", "grpo_change", "grpo_gain",
]  # fmt: skip
Unit = Literal["%", "points", "relative %", "points or relative %", "count"]
PERCENT, POINTS, RELATIVE, EITHER, COUNT = "%", "points", "relative %", "points or relative %", "count"
READINGS: dict[str, tuple[str, ...]] = {
    PERCENT: (PERCENT,), POINTS: (POINTS,), RELATIVE: (RELATIVE,), EITHER: (POINTS, RELATIVE), COUNT: (),
}  # fmt: skip
"""Unit of a published figure -> the units that it may be meant in."""
OF_SUITES: tuple[Measure, ...] = ("accuracy", "grpo_accuracy", "grpo_change", "grpo_gain")
"""The measures of one suite, which an entry of `ours` names."""


def units(measure: Measure) -> tuple[str, ...]:
    """The units that a measure of ours is there in."""
    if measure.startswith("gain_"):
        return READINGS[EITHER]
    return {"entropy_change": (RELATIVE,), "grpo_change": (POINTS,), "grpo_gain": (POINTS,)}.get(
        measure, (PERCENT,)
    )


class Counterpart(Section):
    """The quantity of ours that comes nearest to a published one."""

    measure: Measure
    arm: str = Field(description="arm, or initialisation for measures after GRPO")
    suite: str | None = Field(None, description="suite, for accuracy and all measures after GRPO")
    reading: str | None = Field(None, description="if the figure may be meant in several ways: which of them")

    @model_validator(mode="after")
    def _has_a_suite_or_none(self) -> Self:
        if (self.suite is None) == (self.measure in OF_SUITES):
            said = "add the suite that it is of" if self.suite is None else "remove it; the measure says it"
            raise ValueError(f"suite: {said} (measure {self.measure})")
        return self


class Published(Section):
    """One published figure. What is not known of its setting is left out."""

    name: str | None = Field(None, description="what `difference_of` calls it")
    what: str = Field(description="what was measured, in plain words")
    value: float | None = Field(None, description="as it is printed")
    difference_of: tuple[str, str] | None = Field(
        None, description="in place of a value: the first less the second, by their names (derived)"
    )
    unit: Unit
    version: str | None = Field(None, description="which version of the paper has it")
    source: str = Field(description="where it is printed")
    students: list[str] = Field([], description="the models that it was measured on")
    domain: str | None = Field(None, description="the training domain, by our name")
    arm: str | None = Field(None, description="the paper's arm")
    over: str | None = Field(None, description="what a difference is over")
    scope: str | None = Field(None, description="the questions that it is over")
    note: str | None = Field(None, description="what else there is to say of it")
    ours: list[Counterpart] = Field([], description="what comes nearest to it here")
    otherwise: list[Counterpart] = Field(
        [], description="what to show, and not to compare, where nothing of `ours` is measured"
    )

    @model_validator(mode="after")
    def _has_one_value(self) -> Self:
        if (self.value is None) == (self.difference_of is None):
            raise ValueError("give either value or difference_of")
        return self

    @model_validator(mode="after")
    def _units_agree(self) -> Self:
        meant = set(READINGS[self.unit])
        for key, counterparts in (("ours", self.ours), ("otherwise", self.otherwise)):
            for place, own in enumerate(counterparts):
                here = units(own.measure)
                if not meant or not meant <= set(here):
                    raise ValueError(
                        f"{key}.{place}.measure: {own.measure} is in {' and '.join(here)}, and the figure in "
                        f"{self.unit}; choose another measure, or correct the unit"
                    )
        return self

    @property
    def setting(self) -> dict[str, str | None]:
        """What is known of the setting, by the words for it; None where it is not known. A count has none."""
        if self.unit == COUNT:
            return {}
        domain = self.domain and f"trained on {self.domain}"
        known = {"student": ", ".join(self.students) or None, "domain": domain, "arm": self.arm}
        over = {} if self.unit == PERCENT else {"reference": self.over and f"over {self.over}"}
        return known | over | {"questions": self.scope}

    @property
    def identity(self) -> tuple[Any, ...]:
        """What no two entries may have in common."""
        return (self.what, self.unit, self.version, tuple(sorted(self.students)), *self.setting.values())


class PublishedFile(Section):
    """The whole file."""

    published: list[Published] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        seen: dict[Any, int] = {}
        for place, entry in enumerate(self.published):
            for said, key in (("name", entry.name), ("figure and setting", entry.identity)):
                if key is not None and key in seen:
                    raise ValueError(
                        f"published.{place}: the same {said} as published.{seen[key]}; remove one of them, "
                        "or say in what they differ"
                    )
                seen[key] = place
        return self

    @model_validator(mode="after")
    def _derivable(self) -> Self:
        named = {entry.name: entry for entry in self.published if entry.name is not None}
        printed = [name for name, entry in named.items() if entry.value is not None]
        for place, entry in enumerate(self.published):
            for name in entry.difference_of or ():
                if name not in printed:
                    raise ValueError(f"published.{place}.difference_of: {unknown(name, printed)}")
            units_of = {named[name].unit for name in entry.difference_of or ()}
            if len(units_of) > 1:
                raise ValueError(f"published.{place}.difference_of: the two have different units")
        return self


@dataclass(frozen=True)
class Figure:
    """A published figure with its value.

    Attributes:
        entry: what the file says of it.
        value: as printed, or derived, in `entry.unit`.
        derivation: how it was derived; None where it was printed.
    """

    entry: Published
    value: float
    derivation: str | None = None


def read_published(path: Path) -> list[Figure]:
    """Load the published figures; what is the difference of two of them is worked out.

    Raises:
        UserError: the file is missing, is not YAML, or breaks the schema; the message names the key.
    """
    document, _ = read_document(path)
    try:
        entries = PublishedFile.model_validate(document).published
    except ValidationError as error:
        mistakes = [f"{path}: {_explained(mistake)}" for mistake in error.errors()]
        raise UserError("\n".join(mistakes)) from None
    printed = {entry.name: entry.value for entry in entries if entry.name and entry.value is not None}
    return [_figure(entry, printed) for entry in entries]


def _explained(mistake: Any) -> str:
    key = ".".join(map(str, mistake["loc"]))
    text = message(mistake)
    if text.startswith("published."):  # it names its own key
        return text
    return f"{key or 'file'}: {text}"


def _figure(entry: Published, printed: dict[str, float]) -> Figure:
    if entry.value is not None:
        return Figure(entry, entry.value)
    assert entry.difference_of is not None, "the schema wants one of the two"
    # In decimals, as they are printed: 76.47 - 72.82 is 3.65.
    first, second = (Decimal(str(printed[name])) for name in entry.difference_of)
    return Figure(entry, float(first - second), f"{first} \N{MINUS SIGN} {second}")
