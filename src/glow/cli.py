"""The command line: it parses, calls a stage, and exits.

A stage's function takes its paths and options by their names, and its settings as `settings`; those become
options through `glow.config.options`, and the workflow's rules call exactly these commands. Stages are
imported when they run: `glow --help` loads no deep-learning library.
"""

from glow.files import interrupted

interrupted.quiet_start()  # All that follows takes a second to import.

import argparse  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from importlib.metadata import version  # noqa: E402
from pathlib import Path  # noqa: E402

from glow.commands.table import STAGES  # noqa: E402
from glow.errors import UserError, of_machine  # noqa: E402
from glow.files import stopping  # noqa: E402
from glow.files.progress import end_bars  # noqa: E402
from glow.training import launch  # noqa: E402

_UNREAD = 141
"""Exit code where nobody reads the output any more, as shells have it: 128 + SIGPIPE."""


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; return its exit code.

    2: a user's mistake, or what the machine refuses; 75: it stopped when asked; 130: Ctrl-C.
    """
    words = _with_command(sys.argv[1:] if argv is None else argv)
    arguments = _parser().parse_args(words)
    command = f"glow {arguments.stage.name}"
    is_launched, is_silent = launch.is_launched(), launch.is_silent()  # before it starts others itself
    if arguments.stage.logged and not is_launched:
        stopping.say_where(command)
    try:
        with interrupted.listen(), stopping.listen():
            code = arguments.stage.run(arguments, words)
            if code == stopping.STOPPED and not is_launched:
                stopping.note_kept()
                raise stopping.Stopped("all processes saved and ended")
            sys.stdout.flush()
            return code
    except stopping.Stopped as stopped:
        return stopping.STOPPED if is_launched else stopping.go_on_later(stopped)
    except (Exception, KeyboardInterrupt) as error:
        _leave_output()
        end_bars()
        if isinstance(error, KeyboardInterrupt) or interrupted.asked():
            return interrupted.ended(command, is_silent)
        code = _refused(command, error, getattr(arguments, "output", None))
        if code is None:
            raise
        return code


def _leave_output() -> None:
    """Let go of output that cannot be written: Python would try once more at its end, and tell of it."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refused(command: str, error: BaseException, output: Path | None) -> int | None:
    """Say what a user can mend, and return the exit code; None for a fault of ours."""
    if isinstance(error, BrokenPipeError):  # `glow timings ... | head`
        return _UNREAD
    said = str(error) if isinstance(error, UserError) else of_machine(error, output)
    if said is None:
        return None
    print(f"{command}: {said}", file=sys.stderr, flush=True)
    launch.note_told()
    return 2


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
    parser.add_argument("--version", action="version", version=f"glow {version('glow-sft')}")
    stages = parser.add_subparsers(title="stages, in the order of the study", required=True, metavar="STAGE")
    for stage in STAGES:
        stage.add_to(stages)
    return parser


if __name__ == "__main__":
    sys.exit(main())
