"""A student's tables and figures bound into one self-contained page."""

for own in study.students.values():

    rule:
        name:
            own.rule("report")
        input:
            tables=getattr(rules, own.rule("tables")).output,
            figures=getattr(rules, own.rule("figures")).output,
        output:
            page=f"{own.home}report.html",
            plan=f"{own.home}plan.csv",
            manifest=f"{own.home}report.html.manifest.json",
        log:
            f"{LOGS}/{own.prefix}report.log",
        benchmark:
            f"{BENCHMARKS}/report/{own.prefix}report.tsv"
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
            f"report of {own.home[:-1]}"
        shell:
            "glow report {params.experiment} --results {params.results} {params.student}"
            " 2>&1 | tee -a {log} >> {log}.all"
