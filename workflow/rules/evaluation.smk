"""Every model on every suite, in one process with one engine start; or its answers in several, side by side.

Both rules keep the answers in the folder `answers`, which is not declared: they go on where they were killed.
"""


rule answer:
    input:
        model=lambda wildcards: study.made(study.evaluated(wildcards)),
        below=lambda wildcards: of(wildcards).below(study.evaluated(wildcards)),
        suites=study.suite_files(),
    output:
        # What says that a shard is answered is gone when all is judged: another number of shards makes
        # nothing again.
        note=temp(
            f"{RESULTS}/{{of}}evaluation/{{model}}/seed-{{seed}}/answers/shard-{{shard}}-of-{{shards}}.json"
        ),
    log:
        f"{LOGS}/answer/{{of}}{{model}}/seed-{{seed}}/shard-{{shard}}-of-{{shards}}.log",
    benchmark:
        f"{BENCHMARKS}/answer/{{of}}{{model}}/seed-{{seed}}/shard-{{shard}}-of-{{shards}}.tsv"
    wildcard_constraints:
        model=one_of(EVALUATED),
        shards=r"\d+",
    threads: lambda wildcards: of(wildcards).asks("answer").threads
    resources:
        mem_mb=lambda wildcards: of(wildcards).asks("answer").mem_mb,
        runtime=lambda wildcards: of(wildcards).asks("answer").runtime,
        gpu=lambda wildcards: of(wildcards).asks("answer").gpu,
        slurm_extra=STOPS_IN_TIME,
    params:
        model=lambda wildcards, resources: study.evaluated(wildcards),
        settings=lambda wildcards: depends_on(
            of(wildcards).experiment.answering_run(int(wildcards.seed)),
            *experiment.suites,
            *study.given(study.evaluated(wildcards)),
            *template_files(of(wildcards).experiment.prompt),
        ),
        flags=lambda wildcards, resources: options(
            on_hardware(of(wildcards).experiment.answering_run(int(wildcards.seed)), resources),
            of(wildcards).trust,
        ),
    shell:
        "glow answer --model {params.model:q} --suites {input.suites} --output {output.note}"
        " --shard {wildcards.shard} --shards {wildcards.shards} {params.flags} 2>&1 | tee -a {log} >> {log}.all"


rule evaluate:
    input:
        model=lambda wildcards: study.made(study.evaluated(wildcards)),
        below=lambda wildcards: of(wildcards).below(study.evaluated(wildcards)),
        suites=study.suite_files(),
        answers=lambda wildcards: of(wildcards).answers(wildcards.model, wildcards.seed),
    output:
        scores=f"{RESULTS}/{{of}}evaluation/{{model}}/seed-{{seed}}/scores.json",
        samples=f"{RESULTS}/{{of}}evaluation/{{model}}/seed-{{seed}}/samples.jsonl.gz",
        manifest=f"{RESULTS}/{{of}}evaluation/{{model}}/seed-{{seed}}/manifest.json",
    log:
        f"{LOGS}/evaluate/{{of}}{{model}}/seed-{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluate/{{of}}{{model}}/seed-{{seed}}.tsv"
    wildcard_constraints:
        model=one_of(EVALUATED),
    threads: lambda wildcards: of(wildcards).asks("evaluate").threads
    resources:
        mem_mb=lambda wildcards: of(wildcards).asks("evaluate").mem_mb,
        runtime=lambda wildcards: of(wildcards).asks("evaluate").runtime,
        gpu=lambda wildcards: of(wildcards).asks("evaluate").gpu,
        slurm_extra=STOPS_IN_TIME,
    params:
        directory=lambda wildcards, output: str(Path(output.manifest).parent),
        model=lambda wildcards, resources: study.evaluated(wildcards),
        settings=lambda wildcards: depends_on(
            of(wildcards).experiment.evaluation_run(int(wildcards.seed)),
            *experiment.suites,
            *study.given(study.evaluated(wildcards)),
            *template_files(of(wildcards).experiment.prompt),
        ),
        flags=lambda wildcards, resources: options(
            on_hardware(of(wildcards).experiment.evaluation_run(int(wildcards.seed)), resources),
            of(wildcards).trust,
        ),
    shell:
        "glow evaluate --model {params.model:q} --suites {input.suites} --output {params.directory}"
        " {params.flags} 2>&1 | tee -a {log} >> {log}.all"
