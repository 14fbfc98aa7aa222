"""A student's tables, and all answers and all trajectories as a frame each, which figures and report read too."""

for own in study.students.values():

    rule:
        name:
            own.rule("tables")
        input:
            results=measured(own),
        output:
            expand(
                f"{own.home}tables/{{table}}.{{suffix}}",
                table=table_names(own.experiment),
                suffix=TABLE_SUFFIXES,
            ),
            [f"{own.home}tables/chains.parquet"] if "steps" in table_names(own.experiment) else [],
            tables=f"{own.home}tables/tables.json",
            questions=f"{own.home}tables/questions.parquet",
            trajectories=f"{own.home}tables/trajectories.parquet",
            archive=f"{own.home}tables/questions.json",
            examples=f"{own.home}tables/examples.json",
            sources=f"{own.home}tables/sources.json",
            manifest=f"{own.home}tables/manifest.json",
        log:
            f"{LOGS}/{own.prefix}tables.log",
        benchmark:
            f"{BENCHMARKS}/tables/{own.prefix}tables.tsv"
        threads: 1
        resources:
            mem_mb=3000,
            runtime=60,
            gpu=0,
        params:
            results=lambda wildcards: RESULTS,
            student=own.option,
            experiment=lambda wildcards: FROZEN,
            settings=lambda wildcards, own=own: depends_on(
                json.dumps(own.document(config), sort_keys=True),
                *([experiment.reported] if experiment.reported else []),
            ),
        message:
            f"tables of {own.home[:-1]}"
        shell:
            "glow tables {params.experiment} --results {params.results} {params.student}"
            " 2>&1 | tee -a {log} >> {log}.all"
