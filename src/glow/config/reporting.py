"""Settings of tables and report alone: they change no model and no answer."""

from pydantic import Field

from glow.config.section import Section


class Contrast(Section):
    """A difference whose test is stated before the results are seen."""

    arm: str = Field(description="arm, or base, that is compared")
    over: str = Field(description="arm, or base, that it is compared with")
    scope: str = Field(description="mean over suites: in_domain, ood, or ood_<group>")
    domain: str | None = Field(None, description="training domain, where there are several")
