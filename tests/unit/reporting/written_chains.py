"""Chains of thought written by hand, and a study of them."""

from fabricated import World, stated

from glow.reporting.results import Run


def chain(written: str, answer: int) -> str:
    return f"Step by step: {written}. Hence \\boxed{{{answer}}}"


# To "Ben has 6 pens: p-2, q*3, r+5. How many pens now?"
SOUND = chain("p:6-2=4, q:4*3=12, r:12+5=17", 17)
CALCULATION = chain("p:6-2=4, q:4*3=13, r:13+5=18", 18)  # 2 of 3 hold, the second does not
SIGN = chain("p:6+2=8, q:8*3=24, r:24+5=29", 29)  # 2 of 3, the first does not
EARLY = chain("p:6-2=4, q:4*3=12", 12)  # both hold, and nothing but the end is wrong
TWICE = chain("p:6-2=4, q:4*3=13, r:12+5=17", 17)  # 1 of 3, and the answer is right
BARE = r"\boxed{17}"


class Chains(World):
    """The base gives five sound chains, two with a slip of calculation, one that stops early, a bare answer,
    and to the last question a slip of sign with seed 0 and a sound chain with seed 1. `negative` is bare."""

    def response(self, run: Run, question: int) -> str:
        if run.name == "negative":
            return BARE
        last = SIGN if run.seed == 0 else SOUND
        return [*[SOUND] * 5, CALCULATION, CALCULATION, EARLY, BARE, last][question]

    def trajectories(self, domain: str) -> list[dict]:
        """Right: two of p-0, two of p-1; wrong: two of p-2."""
        texts = [SOUND, SOUND, SOUND, TWICE, CALCULATION, SIGN, "Step by", "Step by"]
        return [
            row | {"response": text, "extracted": stated(text)}
            for row, text in zip(super().trajectories(domain), texts, strict=True)
        ]
