"""How much of the suites stands in a domain's training data. Nothing is trained before this has passed.

A check that refuses writes its report to refused.md and refused.json beside these outputs: they are not
declared, since Snakemake deletes the outputs of a job that fails.
"""


rule contamination:
    input:
        training=lambda wildcards: study.training_data(wildcards.domain),
        suites=study.suite_files(),
    output:
        report=f"{RESULTS}/contamination/{{domain}}/report.json",
        page=f"{RESULTS}/contamination/{{domain}}/report.md",
        manifest=f"{RESULTS}/contamination/{{domain}}/manifest.json",
    log:
        f"{LOGS}/contamination/{{domain}}.log",
    benchmark:
        f"{BENCHMARKS}/contamination/{{domain}}.tsv"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=120,
        gpu=0,
    params:
        directory=lambda wildcards, output: str(Path(output.manifest).parent),
        settings=lambda wildcards: depends_on(experiment.contamination, *experiment.suites),
        flags=lambda wildcards, resources: options(experiment.contamination),
    shell:
        "glow contamination --training {input.training} --suites {input.suites} --output {params.directory}"
        " {params.flags} 2>&1 | tee -a {log} >> {log}.all"
