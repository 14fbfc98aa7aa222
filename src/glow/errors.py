"""The one exception for mistakes that a user can make and fix, and how its messages show a value."""


class UserError(Exception):
    """Bad input: the message names file:line or key and says how to fix it, in one or two lines.

    The command line prints it without a traceback and exits with code 2 (`glow.cli.main`).
    """


def abbreviated(value: object, longest: int = 60) -> str:
    """The value as Python writes it, cut short where that takes `longest` characters or more."""
    text = repr(value)
    return text if len(text) < longest else text[: longest - 3] + "..."
