r"""What an answer says: a grammar of answers, from characters to statements.

`read` gives the readings of an answer, each a tree (`glow.verifier.grammar.tree`). Only texts that are
consumed whole are read. No text is executed, and nothing here takes longer than its length allows.
"""

from glow.verifier.grammar.numerals import bare_digits
from glow.verifier.grammar.statements import Readings, read

__all__ = ["Readings", "bare_digits", "read"]
