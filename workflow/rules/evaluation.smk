"""Every model on every suite, in one process with one engine start; or its answers in several, side by side.

Both rules keep the answers in the folder `answers`, which is not declared: they go on where they were killed.
"""


rule answer:
    input:
        model=lambda wildcards: study.made(study.trained_model(wildcards.model, wildcards.seed)),
        below=lambda wildcards: study.below(study.trained_model(wildcards.model, wildcards.seed)),
        suites=study.suite_files(),
    output:
        # What says that a shard is answered is gone when all is judged: another number of shards makes
        # nothing again.
        note=temp(f"{RESULTS}/evaluation/{{model}}/seed-{{seed}}/answers/shard-{{shard}}-of-{{shards}}.json"),
    log:
        f"{LOGS}/answer/{{model}}/seed-{{seed}}/shard-{{shard}}-of-{{shards}}.log",
    benchmark:
        f"{BENCHMARKS}/answer/{{model}}/seed-{{seed}}/shard-{{shard}}-of-{{shards}}.tsv"
    wildcard_constraints:
        model=one_of(study.trained_models()),
        shards=r"\d+",
    threads: study.at_scale("base", 1, 8)
    resources:
        mem_mb=study.at_scale("base", 3000, 64000),
        runtime=study.at_scale("base", 60, 1440),
        gpu=study.at_scale("base", 0, 1),
        slurm_extra=STOPS_IN_TIME,
    params:
        model=lambda wildcards, resources: study.trained_model(wildcards.model, wildcards.seed),
        settings=lambda wildcards: depends_on(
            experiment.answering_run(int(wildcards.seed)),
            *experiment.suites,
            *study.given(study.trained_model(wildcards.model, wildcards.seed)),
            *template_files(experiment.prompt),
        ),
        flags=lambda wildcards, resources: options(
            on_hardware(experiment.answering_run(int(wildcards.seed)), resources), study.trust("base")
        ),
    shell:
        "glow answer --model {params.model:q} --suites {input.suites} --output {output.note}"
        " --shard {wildcards.shard} --shards {wildcards.shards} {params.flags} 2>&1 | tee -a {log} {log}.all"


rule evaluate:
    input:
        model=lambda wildcards: study.made(study.trained_model(wildcards.model, wildcards.seed)),
        below=lambda wildcards: study.below(study.trained_model(wildcards.model, wildcards.seed)),
        suites=study.suite_files(),
        answers=lambda wildcards: study.answers(wildcards.model, wildcards.seed),
    output:
        scores=f"{RESULTS}/evaluation/{{model}}/seed-{{seed}}/scores.json",
        samples=f"{RESULTS}/evaluation/{{model}}/seed-{{seed}}/samples.jsonl.gz",
        manifest=f"{RESULTS}/evaluation/{{model}}/seed-{{seed}}/manifest.json",
    log:
        f"{LOGS}/evaluate/{{model}}/seed-{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluate/{{model}}/seed-{{seed}}.tsv"
    wildcard_constraints:
        model=one_of(study.trained_models()),
    threads: study.at_scale("base", 1, 8)
    resources:
        mem_mb=study.at_scale("base", 3000, 64000),
        runtime=study.at_scale("base", 60, 1440),
        gpu=study.at_scale("base", 0, 1),
        slurm_extra=STOPS_IN_TIME,
    params:
        directory=lambda wildcards, output: str(Path(output.manifest).parent),
        model=lambda wildcards, resources: study.trained_model(wildcards.model, wildcards.seed),
        settings=lambda wildcards: depends_on(
            experiment.evaluation_run(int(wildcards.seed)),
            *experiment.suites,
            *study.given(study.trained_model(wildcards.model, wildcards.seed)),
            *template_files(experiment.prompt),
        ),
        flags=lambda wildcards, resources: options(
            on_hardware(experiment.evaluation_run(int(wildcards.seed)), resources), study.trust("base")
        ),
    shell:
        "glow evaluate --model {params.model:q} --suites {input.suites} --output {params.directory}"
        " {params.flags} 2>&1 | tee -a {log} {log}.all"
