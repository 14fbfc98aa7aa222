"""The problems that models are evaluated on: one local file a suite."""


rule suite:
    output:
        problems=f"{RESULTS}/suites/{{suite}}.jsonl",
        manifest=f"{RESULTS}/suites/{{suite}}.jsonl.manifest.json",
    log:
        f"{LOGS}/suite/{{suite}}.log",
    benchmark:
        f"{BENCHMARKS}/suite/{{suite}}.tsv"
    localrule: study.fetches_suites
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
        gpu=0,
    params:
        settings=lambda wildcards: depends_on(*read_from(experiment.suites[wildcards.suite])),
        flags=lambda wildcards, resources: options(experiment.suites[wildcards.suite]),
        online=lambda wildcards, resources: ONLINE,
    shell:
        "{params.online} glow suite --name {wildcards.suite} --output {output.problems} {params.flags}"
        " 2>&1 | tee -a {log} >> {log}.all"
