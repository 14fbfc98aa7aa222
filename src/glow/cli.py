"""The command line: one subcommand a stage. It parses, calls the stage, and exits.

A stage's settings become options through `options.add_options`; the workflow's rules call exactly
these commands. Stages are imported when they run: `glow --help` loads no deep-learning library.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from glow import config
from glow.config.options import add_options, section_from
from glow.errors import UserError
from glow.experiment import read

Arguments = argparse.Namespace
Subparsers = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; return the exit code (2 for a mistake of the user's)."""
    arguments = _parser().parse_args(_with_command(sys.argv[1:] if argv is None else argv))
    try:
        arguments.run(arguments)
    except UserError as error:
        print(f"glow {arguments.stage}: {error}", file=sys.stderr)
        return 2
    return 0


def _with_command(words: list[str]) -> list[str]:
    """The words, with lm-eval's `run` where it is left out: argparse would take what follows for ours."""
    is_bare = words[:1] == ["lm-eval"] and words[1:2] and words[1].startswith("-")
    return ["lm-eval", "run", *words[1:]] if is_bare and words[1] not in ("-h", "--help") else words


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="glow",
        description="Learning from negative reasoning trajectories: every stage of the study as a command.",
        epilog="The whole study: `make reproduce`, or `snakemake --cores all --configfile FILE`.",
    )
    stages = parser.add_subparsers(
        title="stages, in the order of the study", dest="stage", required=True, metavar="STAGE"
    )
    for add in STAGES:
        add(stages)
    return parser


def _stage(
    stages: Subparsers, name: str, run: Callable[[Arguments], None], summary: str
) -> argparse.ArgumentParser:
    parser = stages.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _files(parser: argparse.ArgumentParser, **options: str) -> None:
    """Add required path options: name=help."""
    for name, text in options.items():
        parser.add_argument(
            "--" + name.replace("_", "-"), type=Path, required=True, help=text, metavar="PATH"
        )


# --- configuration ------------------------------------------------------------------------------


def _check(stages: Subparsers) -> None:
    parser = _stage(stages, "check", _run_check, "validate a configuration file and say what it would run")
    parser.add_argument(
        "config", type=Path, nargs="+", help="YAML configuration file, and overlays laid over it in turn"
    )


def _run_check(arguments: Arguments) -> None:
    experiment = read(*arguments.config)
    print(
        f"{' + '.join(map(str, arguments.config))}: ok: {experiment.name}: "
        f"{len(experiment.domain_names)} domain(s), "
        f"{len(experiment.arms)} arms, {len(experiment.seeds)} seed(s), {len(experiment.suites)} suites, "
        f"{'GRPO' if experiment.grpo else 'no GRPO'}; report: results/{experiment.name}/report.html"
    )
    for domain in experiment.domain_names:
        inside = [name for name, suite in experiment.suites.items() if suite.domain == domain]
        print(f"in-domain for {domain}: {', '.join(inside) or 'no suite'}")


# --- models -------------------------------------------------------------------------------------


def _fetch(stages: Subparsers) -> None:
    parser = _stage(
        stages, "fetch", _run_fetch, "download a model from the Hugging Face hub at a pinned commit"
    )
    _files(parser, output="directory of the model")
    add_options(parser, config.Hub)


def _run_fetch(arguments: Arguments) -> None:
    from glow.models.build import fetch

    fetch(section_from(arguments, config.Hub), arguments.output)


def _scratch(stages: Subparsers) -> None:
    parser = _stage(
        stages, "scratch", _run_scratch, "make a small random model with a tokenizer trained on your text"
    )
    _files(
        parser,
        text="JSONL(.gz) trajectories whose text trains the tokenizer",
        output="directory of the model",
    )
    add_options(parser, config.Scratch)


def _run_scratch(arguments: Arguments) -> None:
    from glow.models.build import scratch

    scratch(arguments.text, arguments.output, section_from(arguments, config.Scratch))


def _pretrain(stages: Subparsers) -> None:
    parser = _stage(
        stages, "pretrain", _run_pretrain, "pretrain a miniature model from scratch on worked solutions"
    )
    _files(parser, output="directory of the model")
    add_options(parser, config.Pretrain)


def _run_pretrain(arguments: Arguments) -> None:
    from glow.miniature.pretrain import pretrain

    pretrain(arguments.output, section_from(arguments, config.Pretrain))


# --- data ---------------------------------------------------------------------------------------


def _suite(stages: Subparsers) -> None:
    parser = _stage(stages, "suite", _run_suite, "write a suite's evaluation problems as one local file")
    _files(parser, output="JSONL file of problems")
    parser.add_argument(
        "--name", required=True, help="name of the suite (a built-in task unless --families is given)"
    )
    add_options(parser, config.Suite)


def _run_suite(arguments: Arguments) -> None:
    from glow.suites.files import write_suite

    write_suite(arguments.name, section_from(arguments, config.Suite), arguments.output)


def _problems(stages: Subparsers) -> None:
    parser = _stage(
        stages, "problems", _run_problems, "write a domain's training problems, disjoint from every suite"
    )
    _files(parser, output="JSONL file of training problems", grpo_output="JSONL file of GRPO prompts")
    parser.add_argument(
        "--suites", type=Path, nargs="*", default=[], help="suite files to be disjoint from", metavar="PATH"
    )
    add_options(parser, config.Problems)


def _run_problems(arguments: Arguments) -> None:
    from glow.data.problems import write_problems

    write_problems(
        section_from(arguments, config.Problems),
        arguments.suites,
        arguments.output,
        arguments.grpo_output,
    )


def _generate(stages: Subparsers) -> None:
    parser = _stage(
        stages, "generate", _run_generate, "sample the teacher's trajectories (resumable, one shard)"
    )
    _files(
        parser,
        problems="JSONL file of problems",
        model="directory of the teacher",
        output="JSONL(.gz) trajectories",
    )
    parser.add_argument("--shard", type=int, default=0, help="which shard to sample (from 0)")
    parser.add_argument("--shards", type=int, default=1, help="how many shards there are")
    add_options(parser, config.Prompt)
    add_options(parser, config.Sampling)


def _run_generate(arguments: Arguments) -> None:
    from glow.data.generate import generate

    generate(
        arguments.problems,
        arguments.model,
        arguments.output,
        section_from(arguments, config.Sampling),
        section_from(arguments, config.Prompt),
        shard=arguments.shard,
        shards=arguments.shards,
    )


def _import(stages: Subparsers) -> None:
    parser = _stage(stages, "import", _run_import, "read your own trajectories, disjoint from every suite")
    parser.add_argument(
        "--files", type=Path, nargs="+", required=True, help="JSONL(.gz) files", metavar="PATH"
    )
    _files(parser, output="JSONL(.gz) trajectories", grpo_output="JSONL file of GRPO prompts")
    parser.add_argument(
        "--suites", type=Path, nargs="*", default=[], help="suite files to be disjoint from", metavar="PATH"
    )
    parser.add_argument("--limit", type=int, help="use this many rows, drawn by content hash")
    parser.add_argument(
        "--grpo", type=int, default=0, help="questions kept out of the output, as GRPO prompts"
    )
    add_options(parser, config.Fields)


def _run_import(arguments: Arguments) -> None:
    from glow.data.own_data import import_trajectories

    import_trajectories(
        arguments.files,
        section_from(arguments, config.Fields),
        arguments.suites,
        arguments.output,
        arguments.grpo_output,
        limit=arguments.limit,
        grpo=arguments.grpo,
    )


def _contamination(stages: Subparsers) -> None:
    parser = _stage(
        stages,
        "contamination",
        _run_contamination,
        "say how much of each suite stands in the training data, and refuse too much",
    )
    for name, text in (("training", "training data: JSONL(.gz) or Parquet rows"), ("suites", "suite files")):
        parser.add_argument(f"--{name}", type=Path, nargs="+", required=True, help=text, metavar="PATH")
    _files(parser, output="directory of the report")
    add_options(parser, config.Contamination)


def _run_contamination(arguments: Arguments) -> None:
    from glow.data.contamination import check_contamination

    check_contamination(
        arguments.training,
        arguments.suites,
        arguments.output,
        section_from(arguments, config.Contamination),
    )


def _verify(stages: Subparsers) -> None:
    parser = _stage(
        stages,
        "verify",
        _run_verify,
        "judge responses: each row plus its verdict, with the answer and the reason",
    )
    parser.add_argument(
        "--input", type=Path, nargs="+", required=True, help="JSONL(.gz) rows", metavar="PATH"
    )
    _files(parser, output="JSONL(.gz) rows with verdicts")
    parser.add_argument(
        "--response-field", default="response", help="key of the response (default: response)"
    )
    parser.add_argument("--answer-field", default="answer", help="key of the gold answer (default: answer)")
    parser.add_argument(
        "--answer-type-field",
        metavar="KEY",
        help="key of the gold answer's type, null where it is to be inferred (default: all are inferred); of "
        "type choice, the texts under `choices` count as answers too. Rows of glow's own: answer_type",
    )
    parser.add_argument(
        "--workers", type=int, default=1, help="worker processes (default: 1); verdicts do not depend on it"
    )
    add_options(parser, config.Verification)


def _run_verify(arguments: Arguments) -> None:
    from glow.data.verdicts import verify_files

    verify_files(
        arguments.input,
        arguments.output,
        section_from(arguments, config.Verification),
        response_field=arguments.response_field,
        answer_field=arguments.answer_field,
        answer_type_field=arguments.answer_type_field,
        workers=arguments.workers,
    )


def _arms(stages: Subparsers) -> None:
    parser = _stage(stages, "arms", _run_arms, "draw positive, negative, mixed and all from verdicts")
    _files(parser, verdicts="JSONL(.gz) rows with verdicts", output="directory of the four selections")
    parser.add_argument("--seed", type=int, required=True, help="seed of the draw and of the order")
    add_options(parser, config.Selection)


def _run_arms(arguments: Arguments) -> None:
    from glow.data.arms import write_arms

    write_arms(
        arguments.verdicts, arguments.output, section_from(arguments, config.Selection), arguments.seed
    )


# --- training -----------------------------------------------------------------------------------


def _sft(stages: Subparsers) -> None:
    parser = _stage(
        stages, "sft", _run_sft, "fine-tune a model on one selection with one objective (resumable)"
    )
    _files(
        parser,
        data="JSONL trajectories of the arm",
        model="directory of the base model",
        output="directory of the run",
    )
    parser.add_argument(
        "--all",
        type=Path,
        required=True,
        help="JSONL of all trajectories (sets the budget of steps)",
        metavar="PATH",
    )
    parser.add_argument("--seed", type=int, required=True, help="seed of order and dropout")
    add_options(parser, config.Prompt)
    add_options(parser, config.Objective)
    add_options(parser, config.Sft)


def _run_sft(arguments: Arguments) -> None:
    from glow.training.sft import fine_tune

    fine_tune(
        arguments.data,
        arguments.all,
        arguments.model,
        arguments.output,
        section_from(arguments, config.Objective),
        section_from(arguments, config.Sft),
        section_from(arguments, config.Prompt),
        arguments.seed,
    )


def _grpo(stages: Subparsers) -> None:
    parser = _stage(
        stages, "grpo", _run_grpo, "train a model by GRPO with the verifier as reward (resumable)"
    )
    _files(
        parser,
        problems="JSONL file of prompts",
        model="directory of the initialisation",
        output="directory of the run",
    )
    parser.add_argument("--seed", type=int, required=True, help="seed of order and rollouts")
    add_options(parser, config.Prompt)
    add_options(parser, config.Verification)
    add_options(parser, config.Grpo)


def _run_grpo(arguments: Arguments) -> None:
    from glow.training.grpo import train

    train(
        arguments.problems,
        arguments.model,
        arguments.output,
        section_from(arguments, config.Grpo),
        section_from(arguments, config.Verification),
        section_from(arguments, config.Prompt),
        arguments.seed,
    )


# --- measurement --------------------------------------------------------------------------------


def _evaluate(stages: Subparsers) -> None:
    parser = _stage(
        stages, "evaluate", _run_evaluate, "score a model on every suite with lm-evaluation-harness"
    )
    _files(parser, model="directory of the model", output="directory of the scores and samples")
    parser.add_argument(
        "--suites",
        type=Path,
        nargs="+",
        required=True,
        help="suite files, named <suite>.jsonl",
        metavar="PATH",
    )
    parser.add_argument("--seed", type=int, required=True, help="seed of the sampled responses")
    add_options(parser, config.Prompt)
    add_options(parser, config.Verification)
    add_options(parser, config.Evaluation)


def _run_evaluate(arguments: Arguments) -> None:
    from glow.evaluation.evaluate import evaluate

    evaluate(
        arguments.model,
        arguments.suites,
        arguments.output,
        section_from(arguments, config.Evaluation),
        section_from(arguments, config.Verification),
        section_from(arguments, config.Prompt),
        arguments.seed,
    )


def _rescore(stages: Subparsers) -> None:
    parser = _stage(
        stages, "rescore", _run_rescore, "recompute scores.json from archived samples, without a model"
    )
    _files(parser, samples="samples.jsonl.gz of an evaluation", output="JSON file of the scores")


def _run_rescore(arguments: Arguments) -> None:
    from glow.evaluation.metrics import rescore

    rescore(arguments.samples, arguments.output)


def _lm_eval(stages: Subparsers) -> None:
    parser = _stage(
        stages, "lm-eval", _run_lm_eval, "run lm-eval's own command line: `--model glow`, our task files"
    )
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its command (default: run) and options")


def _run_lm_eval(arguments: Arguments) -> None:
    from glow.evaluation.lm_eval_model import run_lm_eval

    run_lm_eval(arguments.arguments)


def _tables(stages: Subparsers) -> None:
    parser = _stage(stages, "tables", _run_tables, "write the study's tables as CSV, Markdown and LaTeX")
    _experiment_options(parser)


def _figures(stages: Subparsers) -> None:
    parser = _stage(stages, "figures", _run_figures, "draw the study's figures as PNG and SVG")
    _experiment_options(parser)


def _report(stages: Subparsers) -> None:
    parser = _stage(
        stages, "report", _run_report, "bind tables and figures into one self-contained HTML page"
    )
    _experiment_options(parser)


def _experiment_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, help="YAML or JSON configuration of the experiment")
    parser.add_argument("--results", type=Path, help="its results (default: results/<name>)", metavar="PATH")


def _results(arguments: Arguments) -> tuple[config.Experiment, Path]:
    experiment = read(arguments.config)
    return experiment, arguments.results or Path("results") / experiment.name


def _run_tables(arguments: Arguments) -> None:
    from glow.reporting.tables import write_tables

    write_tables(*_results(arguments))


def _run_figures(arguments: Arguments) -> None:
    from glow.reporting.figures import write_figures

    write_figures(*_results(arguments))


def _run_report(arguments: Arguments) -> None:
    from glow.reporting.report import write_report

    write_report(*_results(arguments))


# --- housekeeping -------------------------------------------------------------------------------


def _timings(stages: Subparsers) -> None:
    parser = _stage(
        stages, "timings", _run_timings, "print time and peak memory by stage of a finished experiment"
    )
    parser.add_argument("results", type=Path, help="results/<name>")


def _run_timings(arguments: Arguments) -> None:
    from glow.reporting.timings import print_timings

    print_timings(arguments.results)


def _unlock(stages: Subparsers) -> None:
    _stage(
        stages, "unlock", _run_unlock, "clear the lock that a killed run left here (never that of a live one)"
    )


def _run_unlock(arguments: Arguments) -> None:
    from glow.files.unlock import unlock

    unlock(Path.cwd())


STAGES = [
    _check, _fetch, _scratch, _pretrain, _suite, _problems, _generate, _import, _contamination,
    _verify, _arms, _sft, _grpo, _evaluate, _rescore, _lm_eval, _tables, _figures, _report, _timings, _unlock,
]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
