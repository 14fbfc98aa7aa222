"""The experiment, checked before anything runs, and lists of what rules make (`study.py` and `student.py` name
all other files).

The files of a student begin with the wildcard `of`: "students/<student>/" where there are several, and nothing
where there is one. `of(wildcards)` is the student.

Of a rule's params, `settings` says what its result depends on beside its inputs: when it changes, the job runs
again. Snakemake does not compare params that are functions of `resources` (or output), so `flags` and `model`
are: they are the words of the command, in which a setting that changes no number stands too. All are functions,
since in what a function returns braces are no wildcards.

Of the two logs of a job, Snakemake deletes the first when the job starts again; {log}.all has all attempts.
"""

import json
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub.constants import HF_HUB_OFFLINE
from snakemake.settings.types import DeploymentMethod

from glow.config import extended, read_document
from glow.errors import UserError
from glow.experiment import load
from glow.files.bookkeeping import unrecorded
from glow.files.frozen import changes, freeze, frozen_file, refuse_other_layout, refuse_other_students
from glow.files.running import refuse_beside_others
from glow.files.runs import note_run
from glow.models.templates import template_files
from glow.reporting.captions import FIGURE_SUFFIXES, TABLE_SUFFIXES, figure_names, table_names

sys.path.insert(0, str(Path(workflow.basedir) / "workflow"))  # Not a package: it serves the rules alone.
from jobs import depends_on, on_hardware, one_of, options, read_from, trust
from study import Study


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
        for file in workflow.configfiles if workflow.is_main_process else ():
            read_document(Path(file))  # Of two equal keys, Snakemake took the last.
        document = extended(config, source)
        loaded = load(document, source)
        if workflow.is_main_process:
            refuse_other_layout(Path(Study(loaded).results))
            refuse_other_students(Path(Study(loaded).results), list(loaded.students))
    return document, loaded


config, experiment = load_experiment()

study = Study(experiment)
of = study.of

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
                for name, own in experiment.studies.items():
                    agreement.refuse_unrecorded(results.Results(own, Path(RESULTS), name), manifests)
            except UserError:
                refuse_beside_others(Path(RESULTS), Path(FROZEN))
                raise


def refuse_resources():
    """Resources of training, a profile's among them, of which nothing can be made."""
    with mistakes_end_snakemake():
        study.refuse_resources({some.name: dict(some.resources.items()) for some in workflow.rules})


IMAGE = "containers/glow.sif"  # Below the folder in which Snakemake works. Nobody publishes one.


def refuse_missing_image():
    """Jobs in a container want the image, and nothing here builds it by itself."""
    deploys = DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method
    if deploys and not Path(IMAGE).exists():
        with mistakes_end_snakemake():
            raise UserError(
                f"{IMAGE}: no such image in {Path.cwd()}; build it with `make apptainer`, or link it there "
                '(docs/cluster.md, "In a container")'
            )


if workflow.is_main_process:
    refuse_missing_image()
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


EVERY_DRAW = {"domain": experiment.domain_names, "seed": experiment.seeds}
EVALUATED = dict.fromkeys(study.of_all(lambda own: own.trained_models()))

# `glow` and Python are those that run Snakemake, whether or not their folder is on the PATH; those of the image, in a
# job that Snakemake puts into a container: the variables say which one a process is in. Apptainer hands on no signal
# that is ignored, so it is ignored once more in there. Rules whose stage may download set HF_HUB_OFFLINE
# themselves (ONLINE); no other uses a network. Trackio (`report_to`) keeps its files where this says, unless the environment
# says otherwise.
CONTAINER = "".join(os.environ.get(f"{program}_CONTAINER", "") for program in ("APPTAINER", "SINGULARITY"))
shell.prefix(
    "set -euo pipefail; trap '' USR1; "
    f'if [ "${{{{APPTAINER_CONTAINER-}}}}${{{{SINGULARITY_CONTAINER-}}}}" = "{CONTAINER}" ]; '
    f'then export PATH="{Path(sys.executable).parent}:$PATH"; fi; '
    "export TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1 "
    f'TRACKIO_DIR="${{{{TRACKIO_DIR:-$PWD/{LOGS}/trackio}}}}"; '
)

# The rules that fetch are local: they run where Snakemake does, since the nodes of a cluster often have no network.
# Whoever sets HF_HUB_OFFLINE for Snakemake has none there either, and is told so.
ONLINE = f"HF_HUB_OFFLINE={int(HF_HUB_OFFLINE)}"


wildcard_constraints:
    of=one_of(filter(None, study.students)),
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


def of_sft(own, files):
    """Files of every run of SFT of a student."""
    return expand(files, of=own.prefix, arm=own.experiment.arms, **own.every_draw)


def of_grpo(own, files):
    """Files of every run of GRPO of a student."""
    return expand(files, of=own.prefix, **own.every_grpo)


def evaluations(own):
    """The evaluations of every model of a student, with each seed that it is trained with."""
    return [
        file
        for model in own.trained_models()
        for file in expand(rules.evaluate.output, of=own.prefix, model=model, seed=own.seeds(model))
    ]


def measured(own):
    """What a student's tables, figures and report are made of; the last two run after the tables."""
    return [
        *expand(rules.suite.output, suite=experiment.suites),
        *expand(rules.contamination.output, domain=experiment.domain_names),
        *expand(rules.verify.output.verdicts, domain=experiment.domain_names),
        *expand(rules.arms.output, **own.every_draw),
        *expand(rules.select.output, **own.every_draw, selection=own.experiment.further_selections),
        *of_sft(
            own,
            [
                rules.sft.output.history,
                rules.sft.output.log,
                *rules.sft.output.epochs,
                rules.sft.output.manifest,
            ],
        ),
        *of_grpo(own, [rules.grpo.output.log, rules.grpo.output.manifest]),
        *evaluations(own),
    ]
