"""The study's figures."""


rule figures:
    input:
        tables=rules.tables.output,
    output:
        expand(
            f"{RESULTS}/figures/{{figure}}.{{suffix}}",
            figure=figure_names(experiment),
            suffix=FIGURE_SUFFIXES,
        ),
        manifest=f"{RESULTS}/figures/manifest.json",
    log:
        f"{LOGS}/figures.log",
    benchmark:
        f"{BENCHMARKS}/figures/figures.tsv"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
        gpu=0,
    params:
        results=lambda wildcards: RESULTS,
        experiment=lambda wildcards: FROZEN,
    message:
        "figures of {params.results}"
    shell:
        "glow figures {params.experiment} --results {params.results} 2>&1 | tee -a {log} {log}.all"
