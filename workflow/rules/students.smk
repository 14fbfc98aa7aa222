"""The students of a study beside each other, where there are several: a table, a figure, and a page."""

if experiment.students:

    rule students:
        input:
            study.of_all(lambda own: getattr(rules, own.rule("tables")).output),
            study.of_all(lambda own: [f"{own.home}report.html"]),
        output:
            expand(f"{RESULTS}/tables/students.{{suffix}}", suffix=TABLE_SUFFIXES),
            expand(f"{RESULTS}/figures/students.{{suffix}}", suffix=FIGURE_SUFFIXES),
            page=f"{RESULTS}/report.html",
            manifest=f"{RESULTS}/report.html.manifest.json",
        log:
            f"{LOGS}/students.log",
        benchmark:
            f"{BENCHMARKS}/students/students.tsv"
        threads: 1
        resources:
            mem_mb=3000,
            runtime=60,
            gpu=0,
        params:
            results=lambda wildcards: RESULTS,
            experiment=lambda wildcards: FROZEN,
            settings=lambda wildcards: depends_on(json.dumps(config, sort_keys=True)),
        message:
            "students of {params.results}"
        shell:
            "glow students {params.experiment} --results {params.results} 2>&1 | tee -a {log} >> {log}.all"

    # `snakemake report`, as with one student.
    rule report:
        input:
            rules.students.output,
        message:
            f"report of {RESULTS}"


STUDENTS = rules.students.output if experiment.students else []
SHOWN = [
    file
    for own in study.students.values()
    for stage in ("tables", "figures", "report")
    for file in getattr(rules, own.rule(stage)).output
]
