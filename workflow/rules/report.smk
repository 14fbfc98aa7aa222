"""Tables and figures bound into one self-contained page."""


rule report:
    input:
        tables=rules.tables.output,
        figures=rules.figures.output,
    output:
        page=f"{RESULTS}/report.html",
        manifest=f"{RESULTS}/report.html.manifest.json",
    log:
        f"{LOGS}/report.log",
    benchmark:
        f"{BENCHMARKS}/report/report.tsv"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
        gpu=0,
    params:
        results=lambda wildcards: RESULTS,
        experiment=lambda wildcards: FROZEN,
    message:
        "report of {params.results}"
    shell:
        "glow report {params.experiment} --results {params.results} 2>&1 | tee -a {log} {log}.all"
