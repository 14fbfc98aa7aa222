"""The command line: it parses, calls a stage, and exits.

A stage's function takes its paths and options by their names, and its settings as `settings`; those become
options through `glow.config.options`, and the workflow's rules call exactly these commands. Stages are
imported when they run: `glow --help` loads no deep-learning library.
"""

import argparse
import sys

from glow.commands.table import STAGES
from glow.errors import UserError
from glow.files import stopping
from glow.training import launch


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; return the exit code (2 for a user's mistake, 75 if it stopped when asked)."""
    words = _with_command(sys.argv[1:] if argv is None else argv)
    arguments = _parser().parse_args(words)
    command = f"glow {arguments.stage.name}"
    is_launched = launch.is_launched()
    if arguments.stage.logged and not is_launched:
        stopping.say_where(command)
    try:
        with stopping.listen():
            code = arguments.stage.run(arguments, words)
            if code == stopping.STOPPED and not is_launched:
                stopping.note_kept()
                raise stopping.Stopped("all processes saved and ended")
            return code
    except UserError as error:
        print(f"{command}: {error}", file=sys.stderr, flush=True)
        launch.note_told()
        return 2
    except stopping.Stopped as stopped:
        return stopping.STOPPED if is_launched else stopping.go_on_later(stopped)


def _with_command(words: list[str]) -> list[str]:
    """The words, with lm-eval's `run` added where left out: argparse would read lm-eval's options as ours."""
    is_bare = words[:1] == ["lm-eval"] and words[1:2] and words[1].startswith("-")
    return ["lm-eval", "run", *words[1:]] if is_bare and words[1] not in ("-h", "--help") else words


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="glow",
        description="Learning from negative reasoning trajectories: every stage of the study as a command.",
        epilog="The whole study: `make reproduce`, or `snakemake --cores all --configfile FILE`.",
    )
    stages = parser.add_subparsers(title="stages, in the order of the study", required=True, metavar="STAGE")
    for stage in STAGES:
        stage.add_to(stages)
    return parser


if __name__ == "__main__":
    sys.exit(main())
