"""Command lines of the benchmarks: the help, and the options that several of them have."""

import argparse
from collections.abc import Mapping


def new_parser(text: str | None, shape: str = "", **offered: Mapping[str, object]) -> argparse.ArgumentParser:
    """A parser whose help is `text` (a module's docstring), and then lists what is offered.

    `shapes` makes an option `--shape` for one of them, by default `shape`. Any other keyword makes an option
    of its name, which takes some of the names offered and is None if it is not given.
    """
    lists = [
        f"{title}:\n" + "\n".join(f"  {name:14}{what}" for name, what in members.items())
        for title, members in offered.items()
    ]
    parser = argparse.ArgumentParser(
        description=text, epilog="\n\n".join(lists), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for title, members in offered.items():
        names = list(members)
        if title == "shapes":
            parser.add_argument(
                "--shape", choices=names, default=shape, help="one of those below (%(default)s)"
            )
        else:
            what = "some of those below (default: all that can)"
            parser.add_argument(f"--{title}", nargs="+", choices=names, metavar="NAME", help=what)
    return parser
