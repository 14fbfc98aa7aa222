"""The study's tables, and all answers and all trajectories as a frame each, which figures and report read too."""


rule tables:
    input:
        results=measured(),
    output:
        expand(f"{RESULTS}/tables/{{table}}.{{suffix}}", table=table_names(experiment), suffix=TABLE_SUFFIXES),
        [f"{RESULTS}/tables/chains.parquet"] if "steps" in table_names(experiment) else [],
        tables=f"{RESULTS}/tables/tables.json",
        questions=f"{RESULTS}/tables/questions.parquet",
        trajectories=f"{RESULTS}/tables/trajectories.parquet",
        archive=f"{RESULTS}/tables/questions.json",
        examples=f"{RESULTS}/tables/examples.json",
        sources=f"{RESULTS}/tables/sources.json",
        manifest=f"{RESULTS}/tables/manifest.json",
    log:
        f"{LOGS}/tables.log",
    benchmark:
        f"{BENCHMARKS}/tables/tables.tsv"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
        gpu=0,
    params:
        results=lambda wildcards: RESULTS,
        experiment=lambda wildcards: FROZEN,
        settings=lambda wildcards: depends_on(
            json.dumps(config, sort_keys=True), *([experiment.reported] if experiment.reported else [])
        ),
    message:
        "tables of {params.results}"
    shell:
        "glow tables {params.experiment} --results {params.results} 2>&1 | tee -a {log} {log}.all"
