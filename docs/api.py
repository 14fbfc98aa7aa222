"""Writes docs/api, the reference of the package, from its docstrings: `make docs`."""

import pkgutil
import warnings
from pathlib import Path

import pdoc

import glow

FOLDER = Path(__file__).with_suffix("")


def write() -> None:
    """A page for every module. `glow` has to have been asked for all of its names, which pdoc does not do."""
    vars(glow).update({name: getattr(glow, name) for name in glow.__all__})
    glow.__all__ += [module.name for module in pkgutil.iter_modules(glow.__path__)]
    # What pdoc cannot read: keys of rows that extend other rows, and a type of argparse's.
    warnings.filterwarnings("ignore", "Cannot determine where|Error parsing type annotation argparse")
    pdoc.render.configure(docformat="google", show_source=False)
    pdoc.pdoc("glow", output_directory=FOLDER)


if __name__ == "__main__":
    write()
