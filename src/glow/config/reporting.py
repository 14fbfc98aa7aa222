"""Settings of tables and report alone: they change no model and no answer."""

from pydantic import Field

from glow.config.section import Section


class Contrast(Section):
    """A difference whose test is stated before the results are seen."""

    arm: str = Field(description="arm, or base, that is compared")
    over: str = Field(description="arm, or base, that it is compared with")
    scope: str = Field(description="mean over suites: in_domain, ood, or ood_<group>")
    domain: str | None = Field(None, description="training domain, where there are several")


class Gates(Section):
    """What a study must show before its results are worth reading; gates that do not apply are left out."""

    base_steps: float = Field(
        0.5, description="least share of valid steps in the base's in-domain chains", ge=0, le=1
    )
    base_ood: float = Field(
        10.0,
        description="points above chance, out of domain, that the base's whole 95 % interval must exceed",
    )
    base_suites: float = Field(
        1.0, description="least share of the OOD suites in which the base is above chance", ge=0, le=1
    )
    both_verdicts: float = Field(
        0.25, description="least share of questions with right and with wrong trajectories", ge=0, le=1
    )
    type_gap: float = Field(
        10.0,
        description="largest difference between right and wrong trajectories in the share of a type of "
        "response, in points",
        ge=0,
    )
    length_gap: float = Field(
        10.0,
        description="largest difference between the mean lengths of right and of wrong trajectories, in "
        "percent of the right ones'",
        ge=0,
    )
    positive_gain: float = Field(
        0.0,
        description="points that the whole 95 % interval of the in-domain gain of positive-only SFT over the "
        "base must exceed",
    )
    slip_kinds: int = Field(4, description="least number of kinds of first error in the negatives", ge=0)
    slip_chains: int = Field(50, description="chains that a kind of first error needs to count", gt=0)
    unanimous: float = Field(
        0.4, description="share below which GRPO's unanimous prompts must stay", ge=0, le=1
    )
    reward_rise: float = Field(
        0.0, description="what the whole 95 % interval of the rise of GRPO's reward must exceed"
    )
    grpo_gain: float = Field(
        0.0,
        description="points that the whole 95 % interval of what GRPO adds to in-domain accuracy must exceed",
    )
