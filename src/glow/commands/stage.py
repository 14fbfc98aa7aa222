"""What a subcommand is: a stage's function, and its paths, options and settings as options to type."""

import argparse
import gc
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from glow import config
from glow.config.options import add_options, section_from
from glow.errors import UserError
from glow.files.lock import held
from glow.files.network import stay_here
from glow.models.devices import claim
from glow.training import launch


@dataclass(frozen=True)
class Stage:
    """A stage of the study, as a subcommand.

    Attributes:
        name: of the subcommand.
        summary: its line in `glow --help`.
        function: what to run: "module:function", or a function of this file.
        paths: required path options, name to help, of which that of a folder begins with "directory"; those
            called output or ..._output are written.
        options: further options, name to argparse's settings.
        settings: the section of the configuration that the function takes as `settings`.
        epilog: the end of its help text.
        logged: whether its output goes to a log, in which each attempt is marked.
        fetches: whether it may ask the network; all others are kept from it.
    """

    name: str
    summary: str
    function: str | Callable[..., None]
    paths: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    settings: type[config.Section] | None = None
    epilog: str | None = None
    logged: bool = True
    fetches: bool = False

    def add_to(self, stages: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
        """Declare the subcommand and its options."""
        parser = stages.add_parser(
            self.name,
            help=self.summary,
            description=self.summary[0].upper() + self.summary[1:] + ".",
            epilog=self.epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for name, text in self.paths.items():
            option = "--" + name.replace("_", "-")
            parser.add_argument(option, type=Path, required=True, help=text, metavar="PATH")
        own = [parser.add_argument(name, **options) for name, options in self.options.items()]
        if self.settings is not None:
            add_options(parser, self.settings)
        parser.set_defaults(stage=self, taken=[*self.paths, *(action.dest for action in own)])

    def run(self, arguments: argparse.Namespace, words: list[str]) -> int:
        """Import the stage and call it with what was parsed, alone at its output; or start it on its devices.

        Args:
            words: what was parsed, to be given to processes that are started.

        Returns:
            The exit code.
        """
        given = {name: getattr(arguments, name) for name in arguments.taken}
        self._refuse_places(given)
        if self.settings is not None:
            given["settings"] = section_from(arguments, self.settings)
        tracking = getattr(given.get("settings"), "tracking", None)
        stay_here(self.fetches or bool(tracking and tracking.trackers))
        match getattr(given.get("settings"), "hardware", None):
            case config.TrainingHardware() as hardware:
                if (code := launch.launch(words, hardware)) is not None:
                    return code
            case config.EngineHardware() as hardware:
                claim(hardware.tensor_parallel, "--tensor-parallel")
        function = imported(self.function) if isinstance(self.function, str) else self.function
        with held(given["output"], f"glow {self.name}") if "output" in given else nullcontext():
            function(**given)
        return 0

    def _refuse_places(self, given: Mapping[str, Any]) -> None:
        """Refuse places where the stage could not put its output, before it takes its time.

        Raises:
            UserError: names the option.
        """
        written = [name for name in self.paths if name.endswith("output")]
        read = [path for name in given.keys() - set(written) for path in _paths(given[name])]
        for name in written:
            option, path = f"--{name.replace('_', '-')}", given[name]
            _refuse_place(option, path, self.paths[name].startswith("directory"))
            others = [*read, *(given[other] for other in written if other != name)]
            if path.resolve() in [other.resolve() for other in others]:
                raise UserError(f"{option} {path}: is named in another option too; name a place of its own")


def _paths(value: Any) -> list[Path]:
    """The path that an option has, or all of them."""
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, Path)]


def _refuse_place(option: str, path: Path, is_folder: bool) -> None:
    """Refuse a place where something of the other kind is, or that may not be written to."""
    if is_folder and path.exists() and not path.is_dir():
        raise UserError(f"{option} {path}: is a file, and a folder is written; name another, or remove it")
    if not is_folder and path.exists() and not path.is_file():
        found = "a folder" if path.is_dir() else "a device"
        raise UserError(f"{option} {path}: is {found}, and a file is written; name another")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise UserError(f"{option} {path}: {above} is a file, and nothing can be put into it; name a folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise UserError(f"{option} {path}: {above} may not be written to; name another folder")


def imported(name: str) -> Callable[..., Any]:
    """The function of a stage, its module imported.

    To import the deep-learning libraries makes half a million objects that stay. The garbage collector would
    look through them again and again, meanwhile and for the rest of the stage: a fifth of the CPU time of a
    short one.
    """
    module, _, function = name.partition(":")
    if module not in sys.modules:
        gc.disable()
        try:
            import_module(module)
        finally:
            gc.freeze()
            gc.enable()
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found
