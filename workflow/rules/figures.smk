"""A student's figures."""

for own in study.students.values():

    rule:
        name:
            own.rule("figures")
        input:
            tables=getattr(rules, own.rule("tables")).output,
        output:
            expand(
                f"{own.home}figures/{{figure}}.{{suffix}}",
                figure=figure_names(own.experiment),
                suffix=FIGURE_SUFFIXES,
            ),
            manifest=f"{own.home}figures/manifest.json",
        log:
            f"{LOGS}/{own.prefix}figures.log",
        benchmark:
            f"{BENCHMARKS}/figures/{own.prefix}figures.tsv"
        threads: 1
        resources:
            mem_mb=3000,
            runtime=60,
            gpu=0,
        params:
            results=lambda wildcards: RESULTS,
            student=own.option,
            experiment=lambda wildcards: FROZEN,
        message:
            f"figures of {own.home[:-1]}"
        shell:
            "glow figures {params.experiment} --results {params.results} {params.student}"
            " 2>&1 | tee -a {log} >> {log}.all"
