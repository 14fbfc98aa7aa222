"""The experiment, checked before anything runs, and lists of what rules make (`study.py` names all other files).

Of a rule's params, `settings` says what its result depends on beside its inputs: when it changes, the job runs
again. Snakemake does not compare params that are functions of `resources` (or output), so `flags` and `model`
are: they are the words of the command, in which a setting that changes no number stands too. All are functions,
since in what a function returns braces are no wildcards.

Of the two logs of a job, Snakemake deletes the first when the job starts again; {log}.all has all attempts.
"""

import json
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub.constants import HF_HUB_OFFLINE

from glow.config import extended
from glow.errors import UserError
from glow.experiment import load
from glow.files.bookkeeping import unrecorded
from glow.files.frozen import changes, freeze, frozen_file, refuse_other_layout
from glow.files.running import refuse_beside_others
from glow.files.runs import note_run
from glow.models.templates import template_files
from glow.reporting.captions import FIGURE_SUFFIXES, TABLE_SUFFIXES, figure_names, table_names

sys.path.insert(0, str(Path(workflow.basedir) / "workflow"))  # Not a package: it serves the rules alone.
from study import Study, depends_on, on_hardware, one_of, options, read_from


@contextmanager
def mistakes_end_snakemake():
    """A mistake that a user can mend is printed, and ends Snakemake with code 2."""
    try:
        yield
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def load_experiment():
    """The configuration with what it extends, and as typed sections, checked; its results, if there are any, are
    looked at."""
    source = ", ".join(str(file) for file in workflow.configfiles)
    with mistakes_end_snakemake():
        document = extended(config, source)
        loaded = load(document, source)
        if workflow.is_main_process:
            refuse_other_layout(Path(Study(loaded).results))
    return document, loaded


config, experiment = load_experiment()

study = Study(experiment)

RESULTS, LOGS, BENCHMARKS = study.results, study.logs, study.benchmarks
FROZEN = str(frozen_file(Path(RESULTS)))


def refuse_unrecorded():
    """Results of which Snakemake has no record, it takes as they are: refuse those with other settings.

    Jobs that still make results come first: nothing is to be deleted beside them.
    """
    if manifests := unrecorded(Path.cwd(), Path(RESULTS)):
        from glow.reporting import agreement, results

        with mistakes_end_snakemake():
            try:
                agreement.refuse_unrecorded(results.Results(experiment, Path(RESULTS)), manifests)
            except UserError:
                refuse_beside_others(Path(RESULTS), Path(FROZEN))
                raise


def refuse_resources():
    """Resources of training, a profile's among them, of which nothing can be made."""
    # What the command line or a profile gives as text is an expression, which Snakemake evaluates for each job.
    given = {
        some.name: {
            name: found.raw if found.is_evaluable() else found.value for name, found in some.resources.items()
        }
        for some in workflow.rules
    }
    with mistakes_end_snakemake():
        study.refuse_resources(given)


if workflow.is_main_process:
    # Jobs that are started elsewhere (SLURM) read the frozen configuration, whatever becomes of the files
    # that were given here.
    workflow.config_settings.configfiles = [Path(FROZEN).absolute()]
    workflow.config_settings.config_args = None
    if changed := changes(Path(RESULTS), config):
        print(f"{FROZEN}: the configuration is another since the last run: {changed}", file=sys.stderr)
    refuse_unrecorded()

# A cluster's request to stop (SIGUSR1) goes to all processes of a job. Stages that can stop and go on later listen
# to it (glow.files.stopping). Snakemake, the shell and tee have to live on, and inherit this.
signal.signal(signal.SIGUSR1, signal.SIG_IGN)

# Options of sbatch for those stages: the request comes ten minutes before the limit, and a job that is queued
# again adds to its log.
STOPS_IN_TIME = "--signal=USR1@600 --open-mode=append"


def freeze_experiment():
    """Freeze the configuration, for this run, and note its start; refused while an earlier run still works."""
    with mistakes_end_snakemake():
        refuse_beside_others(Path(RESULTS), Path(FROZEN))
        freeze(Path(RESULTS), config)
        note_run(Path(RESULTS))


EVERY_RUN = {"domain": experiment.domain_names, "seed": experiment.seeds}
EVERY_GRPO = {
    "domain": experiment.domain_names,
    "init": experiment.initialisations,
    "seed": experiment.grpo_seeds,
}

# `glow` and Python are those that run Snakemake, whether or not their folder is on the PATH. Rules
# whose stage may download set HF_HUB_OFFLINE themselves (ONLINE); no other uses a network. Trackio
# (`report_to`) keeps its files where this says, unless the environment says otherwise.
shell.prefix(
    f'set -euo pipefail; export PATH="{Path(sys.executable).parent}:$PATH" '
    "TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1 "
    f'TRACKIO_DIR="${{{{TRACKIO_DIR:-$PWD/{LOGS}/trackio}}}}"; '
)

# The rules that fetch are local: they run where Snakemake does, since the nodes of a cluster often have no network.
# Whoever sets HF_HUB_OFFLINE for Snakemake has none there either, and is told so.
ONLINE = f"HF_HUB_OFFLINE={int(HF_HUB_OFFLINE)}"


wildcard_constraints:
    seed=r"\d+",
    shard=r"\d+",
    domain=one_of(experiment.domain_names),
    arm=one_of(experiment.arms),
    init=one_of(["base", *experiment.arms]),
    suite=one_of(experiment.suites),


def domain_data():
    """Problems and trajectories of every domain."""
    if experiment.trajectories is not None:
        return rules.import_trajectories.output
    return [
        *expand(rules.problems.output, domain=experiment.domain_names),
        *expand(rules.merge.output, domain=experiment.domain_names),
    ]


def evaluations():
    """The evaluations of every model, with each seed that it is trained with."""
    return [
        file
        for model in study.trained_models()
        for file in expand(rules.evaluate.output, model=model, seed=study.seeds(model))
    ]


def measured():
    """What tables, figures and report are made of; the last two run after the tables."""
    return [
        *expand(rules.suite.output, suite=experiment.suites),
        *expand(rules.contamination.output, domain=experiment.domain_names),
        *expand(rules.verify.output.verdicts, domain=experiment.domain_names),
        *expand(rules.arms.output, **EVERY_RUN),
        *expand(rules.select.output, **EVERY_RUN, selection=experiment.further_selections),
        *expand(
            [
                rules.sft.output.history,
                rules.sft.output.log,
                *rules.sft.output.epochs,
                rules.sft.output.manifest,
            ],
            **EVERY_RUN,
            arm=experiment.arms,
        ),
        *expand([rules.grpo.output.log, rules.grpo.output.manifest], **EVERY_GRPO),
        *evaluations(),
    ]
