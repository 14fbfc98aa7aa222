"""The command line: a table of the stages, one subcommand each. It parses, calls the stage, and exits.

A stage's function takes its paths and options by their names, and its settings as `settings`; those become
options through `glow.config.options`, and the workflow's rules call exactly these commands. Stages are
imported when they run: `glow --help` loads no deep-learning library.
"""

import argparse
import gc
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from glow import config, experiment, planning
from glow.config.options import add_options, section_from
from glow.errors import UserError
from glow.files import stopping
from glow.files.frozen import study_file
from glow.files.lock import held
from glow.files.same_run import difference, run_identity
from glow.models.devices import claim
from glow.training import launch
from glow.training.objectives import objectives_help


@dataclass(frozen=True)
class Stage:
    """A stage of the study, as a subcommand.

    Attributes:
        name: of the subcommand.
        summary: its line in `glow --help`.
        function: what to run: "module:function", or a function of this file.
        paths: required path options, name to help.
        options: further options, name to argparse's settings.
        settings: the section of the configuration that the function takes as `settings`.
        epilog: the end of its help text.
        logged: whether its output goes to a log, in which each attempt is marked.
    """

    name: str
    summary: str
    function: str | Callable[..., None]
    paths: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    settings: type[config.Section] | None = None
    epilog: str | None = None
    logged: bool = True

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
        if self.settings is not None:
            given["settings"] = section_from(arguments, self.settings)
        match getattr(given.get("settings"), "hardware", None):
            case config.TrainingHardware() as hardware:
                if (code := launch.launch(words, hardware)) is not None:
                    return code
            case config.EngineHardware() as hardware:
                claim(hardware.tensor_parallel, "--tensor-parallel")
        function = _function(self.function) if isinstance(self.function, str) else self.function
        with held(given["output"], f"glow {self.name}") if "output" in given else nullcontext():
            function(**given)
        return 0


def _function(name: str) -> Callable[..., Any]:
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


# --- what stages are of the whole experiment ------------------------------------------------------


def _check(
    files: list[Path],
    world: int | None,
    gpu: str | None,
    nodes: int | None,
    profile: Path | None,
    set_resources: list[str] | None,
) -> None:
    try:
        checked = experiment.read(*files, world=world)
    except UserError as error:
        raise UserError(f"{_overlay_hint(files)}{error}") from None
    lacking = experiment.missing_packages(checked)
    state = "valid, but it cannot run here" if lacking else "ok"
    print(f"{' + '.join(map(str, files))}: {state}: {experiment.in_words(checked)}")
    memory = _function("glow.planning.command:check_memory")
    said, too_large = memory(checked, gpu, nodes, profile, set_resources)
    for line in said:
        print(line)
    if lacking or too_large:
        raise UserError("\n".join([*lacking, *too_large]))


def _plan(files: list[Path], world: int | None, **options: Any) -> None:
    """Plan a configuration, as `glow.planning.command` does."""
    _function("glow.planning.command:print_plan")(experiment.read(*files, world=world), **options)


def _overlay_hint(files: list[Path]) -> str:
    """A line that says how to use an overlay, where a single file that is no experiment looks like one."""
    document, source = config.read_document(*files)
    if len(files) > 1 or not isinstance(document, dict) or "extends" in document:
        return ""
    missing = [key for key in ("seeds", "student", "sft") if key not in document]
    if len(missing) < 3 or not document.keys() <= config.Experiment.model_fields.keys():
        return ""
    return (
        f"{source}: looks like an overlay ({', '.join(missing)} are not in it): give the file that it "
        f"changes before it: glow check CONFIG {source}\n"
    )


def _on_results(function: str, command: str, of_this_study: bool = False) -> Callable[..., None]:
    """A stage that shows the results of an experiment.

    Args:
        of_this_study: refuse results that were frozen with another configuration; other stages compare
            manifests.
    """

    def run(file: Path, results: Path | None, student: str | None) -> None:
        if file.is_dir():
            raise UserError(f"{file}: is a folder: glow {command} CONFIG --results {file}")
        shown = experiment.read(file)
        root = results or Path("results") / shown.name
        if not root.is_dir():
            where = "run this where Snakemake ran, or give --results"
            raise UserError(f"{root}: no such folder in {Path.cwd()}; {where}")
        if of_this_study:
            _refuse_other_study(shown, file, root)
        name = _student(shown, student, file)
        _function(function)(shown.studies[name], root, name)

    return run


def _student(shown: config.Experiment, named: str | None, file: Path) -> str:
    """The name of the student whose results are meant; empty where there is one alone."""
    if named is None and not shown.students:
        return ""
    known = list(shown.students)
    if named is None:
        raise UserError(f"{file}: has several students; give --student, one of {', '.join(known)}")
    if not known:
        raise UserError(f"{file}: has one student, without a name; leave out --student {named}")
    if named not in known:
        raise UserError(f"--student: {config.unknown(named, known)}")
    return named


SHOWN_ALONE = {"gates", "margin", "contrasts", "reported"}
"""Settings of what is said about results, and not of the results."""


def _refuse_other_study(shown: config.Experiment, file: Path, root: Path) -> None:
    """Refuse a configuration with other settings than the study in `root` was run with."""
    frozen = study_file(root)
    ran, asked = (
        run_identity(one.model_dump(mode="json", exclude=SHOWN_ALONE))
        for one in (experiment.read(frozen), shown)
    )
    if change := difference(ran, asked):
        raise UserError(
            f"{root}: results of another configuration than {file}: {change}; give {frozen} in its place, or "
            "--results of this one"
        )


def _pool(results: list[Path], output: Path, student: str | None) -> None:
    """Read the studies of several worlds as they were frozen, and pool them."""
    studies = []
    for root in results:
        found = experiment.read(study_file(root))
        studies.append((found.studies[_student(found, student, study_file(root))], root))
    _function("glow.reporting.pool:write_pool")(studies, output, student or "")


def _students(file: Path, results: Path | None) -> None:
    shown = experiment.read(file)
    _function("glow.reporting.students.page:write_students")(shown, results or Path("results") / shown.name)


def _unlock() -> None:
    _function("glow.files.unlock:unlock")(Path.cwd())


# --- the table ------------------------------------------------------------------------------------

# fmt: off
_FILES = {"type": Path, "nargs": "+", "required": True, "metavar": "PATH"}
_DISJOINT = {"--suites": _FILES | {"nargs": "*", "required": False, "default": [],
                                   "help": "suite files; no question of theirs may be in the output"}}
_CONTINUED = {"--model": {"type": Path, "help": "directory of a model made by this command, to go on from "
                                                "(default: random weights)"}}
_TRUST = {"--trust-remote-code": {"action": "store_true",
                                  "help": "run the code in the model's directory: read it before"}}
_EXPERIMENT: dict[str, dict[str, Any]] = {
    "file": {"type": Path, "metavar": "config", "help": "YAML or JSON configuration of the experiment"},
    "--results": {"type": Path, "help": "its results (default: results/<name>)", "metavar": "PATH"},
    "--student": {"help": "whose, where it has several students", "metavar": "NAME"},
}
_PROBLEMS = {"output": "JSONL file of training problems", "grpo_output": "JSONL file of GRPO prompts"}

_CONFIGURED: dict[str, dict[str, Any]] = {
    "files": {"type": Path, "nargs": "+", "metavar": "config",
              "help": "YAML configuration file, then any overlays, each changing those before it"},
    "--world": {"type": int, "help": "number of a redrawn world (default: what the files say)"},
}
_MACHINE: dict[str, dict[str, Any]] = {
    "--nodes": {"type": int, "help": "nodes (default: as many as the largest job asks for)", "metavar": "N"},
    "--profile": {"type": Path, "metavar": "PATH", "help": "folder of a Snakemake profile with resources"},
    "--set-resources": {"nargs": "+", "metavar": "RULE:NAME=VALUE",
                        "help": "the same, in place of all that the profile has of them, as in Snakemake"},
}
_GPU = "h100, h200, a100, a100-40, l40s, rtx4090 and others (--gpu ? lists them), or cpu"

STAGES = (
    Stage("check", "check a configuration file and say what it would run", _check, options={
        **_CONFIGURED, "--gpu": {"help": f"see whether all jobs fit on this device too: {_GPU}"}, **_MACHINE,
    }, logged=False),
    Stage("plan", "say what a study costs before it runs: hours, memory, disk by stage; or what does not fit",
          _plan, options={
              **_CONFIGURED,
              "--gpu": {"required": True, "help": f"what it is to run on: {_GPU}"},
              **_MACHINE,
              "--gpus-per-node": {"type": int, "dest": "per_node", "metavar": "N",
                                  "help": "GPUs of a node, or cores of a cpu (default: as such nodes have)"},
              "--assume": {"nargs": "+", "metavar": "KEY=VALUE",
                           "help": "what is not known before, a number or LOW..HIGH: tokens.math=9000"},
              "--results": {"type": Path, "metavar": "PATH",
                            "help": "of the study, whose own numbers count (default: results/<name>)"},
              "--csv": {"type": Path, "metavar": "PATH", "help": "file for the same rows, with all digits"},
          }, epilog=planning.EXAMPLES, logged=False),
    Stage("fetch", "download a model from the Hugging Face hub at a pinned commit",
          "glow.models.fetch:fetch", {"output": "directory of the model"}, settings=config.Hub),
    Stage("scratch", "make a small random model with a tokenizer trained on your text",
          "glow.models.build:scratch",
          {"text": "JSONL(.gz) trajectories whose text trains the tokenizer",
           "output": "directory of the model"},
          settings=config.Scratch),
    Stage("pretrain", "pretrain a miniature model on worked solutions",
          "glow.miniature.pretrain:pretrain", {"output": "directory of the model"}, _CONTINUED,
          config.Pretrain),
    Stage("suite", "write a suite's evaluation problems as one local file",
          "glow.suites.files:write_suite", {"output": "JSONL file of problems"},
          {"--name": {"required": True, "help": "name of the suite (without --families: a built-in task)"}},
          config.Suite),
    Stage("problems", "draw a domain's training problems, and others for GRPO",
          "glow.data.problems:write_problems", _PROBLEMS, _DISJOINT, config.Problems),
    Stage("generate", "sample one shard of the teacher's trajectories (resumable)",
          "glow.data.generate:generate",
          {"problems": "JSONL file of problems", "model": "directory of the teacher",
           "output": "JSONL(.gz) trajectories"},
          {"--shard": {"type": int, "default": 0, "help": "which shard to sample (from 0)"},
           "--shards": {"type": int, "default": 1, "help": "how many shards there are"}, **_TRUST},
          config.GenerateSettings),
    Stage("merge", "put the shards of the teacher's trajectories together", "glow.data.shards:merge_shards",
          {"problems": "JSONL file of problems", "output": "JSONL(.gz) trajectories"},
          {"--shards": _FILES | {"help": "JSONL(.gz) trajectories of all shards, in their order"}}),
    Stage("import", "read your own trajectories, checked and drawn",
          "glow.data.own_data:import_trajectories",
          {"output": "JSONL(.gz) trajectories", "grpo_output": "JSONL file of GRPO prompts"},
          {"--files": _FILES | {"help": "JSONL(.gz) or Parquet files"}, **_DISJOINT},
          config.ImportSettings),
    Stage("contamination", "report how much of each suite is in the training data; fail if it is too much",
          "glow.data.contamination:check_contamination", {"output": "directory of the report"},
          {"--training": _FILES | {"help": "training data: JSONL(.gz) or Parquet rows"},
           "--suites": _FILES | {"help": "suite files"}},
          config.Contamination),
    Stage("verify", "judge responses: write each row with its verdict, the answer found, and the reason",
          "glow.data.verdicts:verify_files", {"output": "JSONL(.gz) rows with verdicts"},
          {"--input": _FILES | {"dest": "inputs", "help": "JSONL(.gz) rows"},
           "--workers": {"type": int, "default": 1,
                         "help": "worker processes (default: 1); verdicts do not depend on it"}},
          config.VerdictSettings),
    Stage("arms", "select positive, negative, mixed and all trajectories by their verdicts",
          "glow.data.arms:write_arms",
          {"verdicts": "JSONL(.gz) rows with verdicts",
           "output": "directory of the four selections, and of what is held out"},
          settings=config.ArmSettings),
    Stage("select", "write one further selection: every right or wrong one, or as many of each question",
          "glow.data.arms:write_selection",
          {"verdicts": "JSONL(.gz) rows with verdicts", "output": "JSONL file of the selection"},
          settings=config.SelectSettings),
    Stage("sft", "fine-tune a model on one selection with one objective (resumable)",
          "glow.training.sft:fine_tune",
          {"data": "JSONL trajectories of the arm", "model": "directory of the base model",
           "output": "directory of the run"},
          {"--all": {"dest": "all_data", "type": Path, "required": True, "metavar": "PATH",
                     "help": "JSONL of all trajectories (sets the budget of steps)"},
           "--replayed": {"type": Path, "metavar": "PATH",
                          "help": "history.parquet of the run whose weights the objective replays"},
           "--held-out": {"type": Path, "metavar": "PATH",
                          "help": "JSONL of trajectories whose loss is measured by epoch (`glow arms`)"},
           **_TRUST},
          config.SftSettings, objectives_help()),
    Stage("pass-rates", "measure how often a model solves each GRPO problem, to leave out some (resumable)",
          "glow.training.pass_rates:measure",
          {"problems": "JSONL file of prompts", "model": "directory of the initialisation",
           "output": "JSONL file of pass rates"},
          _TRUST, config.PassRateSettings),
    Stage("grpo", "train a model by GRPO with the verifier as reward (resumable)",
          "glow.training.grpo:train",
          {"problems": "JSONL file of prompts", "model": "directory of the initialisation",
           "output": "directory of the run"},
          {"--pass-rates": {"type": Path, "metavar": "PATH",
                            "help": "JSONL of how often the model solves each problem (`glow pass-rates`)"},
           **_TRUST},
          config.GrpoSettings),
    Stage("merge-adapter", "write an adapter (LoRA) and its base as one whole model",
          "glow.training.saving:merge_adapter",
          {"model": "directory of the adapter", "output": "directory of the whole model"},
          {"--dtype": {"choices": ["float32", "bfloat16"],
                       "help": "number format of the weights (default: that of the base)"}, **_TRUST}),
    Stage("answer", "get a model's answers to one shard of all suites, for `evaluate` to judge (resumable)",
          "glow.evaluation.answer:answer",
          {"model": "directory of the model",
           "output": "JSON note that they are there: <directory of the evaluation>/answers/<name>.json"},
          {"--suites": _FILES | {"help": "suite files, named <suite>.jsonl"},
           "--shard": {"type": int, "default": 0, "help": "which shard to answer (from 0)"},
           "--shards": {"type": int, "default": 1, "help": "how many shards there are"}, **_TRUST},
          config.AnswerSettings),
    Stage("evaluate", "score a model on every suite with lm-evaluation-harness (resumable)",
          "glow.evaluation.evaluate:evaluate",
          {"model": "directory of the model", "output": "directory of the scores and samples"},
          {"--suites": _FILES | {"help": "suite files, named <suite>.jsonl"}, **_TRUST},
          config.EvaluationSettings),
    Stage("rescore", "recompute scores.json from archived samples, without a model",
          "glow.evaluation.metrics:rescore",
          {"samples": "samples.jsonl.gz of an evaluation", "output": "JSON file of the scores"}),
    Stage("lm-eval", "run lm-eval's own command line, with our engines (`--model glow`) and task files",
          "glow.evaluation.lm_eval_model:run_lm_eval", options={
              "arguments": {"nargs": argparse.REMAINDER, "help": "lm-eval's command (default: run), options"},
          }, logged=False),
    Stage("tables", "write the study's tables as CSV, Markdown and LaTeX",
          _on_results("glow.reporting.tables:write_tables", "tables"), options=_EXPERIMENT),
    Stage("figures", "draw the study's figures as PNG and SVG",
          _on_results("glow.reporting.figures:write_figures", "figures"), options=_EXPERIMENT),
    Stage("report", "bind tables and figures into one self-contained HTML page",
          _on_results("glow.reporting.report:write_report", "report"), options=_EXPERIMENT),
    Stage("gates", "print the acceptance gates that a finished experiment failed (no error)",
          _on_results("glow.reporting.tables:print_failed_gates", "gates", of_this_study=True),
          options=_EXPERIMENT, logged=False),
    Stage("students", "set the students of a study beside each other: table, figure and page", _students,
          options={key: own for key, own in _EXPERIMENT.items() if key != "--student"}),
    Stage("pool", "tables and a figure over finished studies of one design in several worlds", _pool,
          {"output": "directory of the tables and of the figure"},
          {"results": {"type": Path, "nargs": "+", "metavar": "results",
                       "help": "results/<name> of each study; they differ in seeds and world alone"},
           "--student": _EXPERIMENT["--student"]}),
    Stage("timings", "print time and peak memory by stage of a finished experiment",
          "glow.reporting.timings:print_timings",
          options={"root": {"type": Path, "metavar": "results", "help": "results/<name>"}}, logged=False),
    Stage("unlock", "clear the lock that a killed run left here (refused while a run is active)", _unlock,
          logged=False),
)
# fmt: on
"""In the order of the study."""


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
