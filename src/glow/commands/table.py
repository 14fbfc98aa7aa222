"""The table of the subcommands, in the order of the study."""

import argparse
from pathlib import Path
from textwrap import fill, indent
from typing import Any

from glow import config, planning
from glow.commands import of_experiments
from glow.commands.stage import Stage
from glow.miniature.families import FAMILIES
from glow.suites.tasks import task_names
from glow.training.objectives import objectives_help

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
    "--overlay": {"type": Path, "nargs": "+", "metavar": "PATH",
                  "help": "files laid over it in turn, each changing those before it, as Snakemake does"},
    "--world": {"type": int, "help": "number of a redrawn world (default: what the files say)"},
}
_MACHINE: dict[str, dict[str, Any]] = {
    "--nodes": {"type": int, "help": "nodes (default: as many as the largest job asks for)", "metavar": "N"},
    "--profile": {"type": Path, "metavar": "PATH", "help": "folder of a Snakemake profile with resources"},
    "--set-resources": {"nargs": "+", "metavar": "RULE:NAME=VALUE",
                        "help": "the same, in place of all that the profile has of them, as in Snakemake"},
}
_KNOWN_FAMILIES = f"families:\n{indent(fill(', '.join(FAMILIES), 90), '  ')}"
_KNOWN_SUITES = f"tasks that are built in:\n{indent(fill(', '.join(task_names()), 90), '  ')}"
_GPU = "h100, h200, a100, a100-40, l40s, rtx4090 and others (--gpu ? lists them), or cpu"

STAGES = (
    Stage("check", "check configuration files and say what each would run", of_experiments.check, options={
        "files": {"type": Path, "nargs": "+", "metavar": "config",
                  "help": "YAML configuration files, each an experiment of its own"},
        **_CONFIGURED, "--gpu": {"help": f"see whether all jobs fit on this device too: {_GPU}"}, **_MACHINE,
    }, logged=False),
    Stage("plan", "say what a study costs before it runs: hours, memory, disk by stage; or what does not fit",
          of_experiments.plan, options={
              "file": {"type": Path, "metavar": "config", "help": "YAML configuration file"},
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
          config.Pretrain, _KNOWN_FAMILIES),
    Stage("suite", "write a suite's evaluation problems as one local file",
          "glow.suites.files:write_suite", {"output": "JSONL file of problems"},
          {"--name": {"required": True, "help": "name of the suite (without --families: a built-in task)"}},
          config.Suite, f"{_KNOWN_SUITES}\n\n{_KNOWN_FAMILIES}"),
    Stage("problems", "draw a domain's training problems, and others for GRPO",
          "glow.data.problems:write_problems", _PROBLEMS, _DISJOINT, config.Problems, _KNOWN_FAMILIES),
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
          {"output": "JSONL(.gz) trajectories"},
          {"--files": _FILES | {"nargs": "*", "required": False, "default": [],
                                "help": "JSON Lines, JSON, CSV, Parquet (also .gz), folders, patterns"},
           "--grpo-output": {"type": Path, "metavar": "PATH",
                             "help": "JSONL file of GRPO prompts, where --grpo asks for some"},
           **_DISJOINT},
          config.ImportSettings),
    Stage("inspect", "say what files of trajectories are, how to map them, and what looks wrong",
          "glow.data.inspect:inspect",
          options={"files": {"type": Path, "nargs": "+", "metavar": "file",
                             "help": "JSON Lines, JSON, CSV, Parquet (also packed), folders, patterns"}},
          settings=config.InspectSettings, logged=False),
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
          of_experiments.on_results("glow.reporting.tables:write_tables", "tables"), options=_EXPERIMENT),
    Stage("figures", "draw the study's figures as PNG and SVG",
          of_experiments.on_results("glow.reporting.figures:write_figures", "figures"), options=_EXPERIMENT),
    Stage("report", "bind tables and figures into one self-contained HTML page",
          of_experiments.on_results("glow.reporting.report:write_report", "report"), options=_EXPERIMENT),
    Stage("gates", "print the acceptance gates that a finished experiment failed (no error)",
          of_experiments.on_results("glow.reporting.tables:print_failed_gates", "gates", of_this_study=True),
          options=_EXPERIMENT, logged=False),
    Stage("students", "set the students of a study beside each other: table, figure and page",
          of_experiments.students,
          options={key: own for key, own in _EXPERIMENT.items() if key != "--student"}),
    Stage("pool", "tables and a figure over finished studies of one design in several worlds",
          of_experiments.pool, {"output": "directory of the tables and of the figure"},
          {"results": {"type": Path, "nargs": "+", "metavar": "results",
                       "help": "results/<name> of each study; they differ in seeds and world alone"},
           "--student": _EXPERIMENT["--student"]}),
    Stage("timings", "print time and peak memory by stage of a finished experiment",
          "glow.reporting.timings:print_timings",
          options={"root": {"type": Path, "metavar": "results", "help": "results/<name>"}}, logged=False),
    Stage("unlock", "clear the lock that a killed run left here (refused while a run is active)",
          of_experiments.unlock, logged=False),
)
# fmt: on
"""In the order of the study."""
