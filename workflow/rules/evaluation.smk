"""Every model on every suite: one process, one engine start a model and seed."""


rule evaluate:
    input:
        model=lambda wildcards: study.made(study.trained_model(wildcards.model, wildcards.seed)),
        suites=study.suite_files(),
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
            experiment.evaluation_run(int(wildcards.seed)), study.trust("base")
        ),
    shell:
        "glow evaluate --model {params.model:q} --suites {input.suites} --output {params.directory}"
        " {params.flags} 2>&1 | tee {log}"
