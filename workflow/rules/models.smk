"""The student's base model and the teacher: pretrained or initialised here, or fetched.

A model given as a path is used where it is and has no rule. Whatever its origin, what follows sees
an ordinary Hugging Face checkpoint.
"""


rule pretrain:
    input:
        trunk=lambda wildcards: study.trunk(wildcards.made),
    output:
        directory(f"{RESULTS}/{{made}}"),
    log:
        f"{LOGS}/pretrain/{{made}}.log",
    benchmark:
        f"{BENCHMARKS}/pretrain/{{made}}.tsv"
    wildcard_constraints:
        made=one_of(study.models_from("pretrain")),
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
        gpu=0,
    params:
        settings=lambda wildcards: depends_on(study.models[wildcards.made].pretrain),
        flags=lambda wildcards, resources: options(study.models[wildcards.made].pretrain),
        model=lambda wildcards, input: "--model" if input.trunk else "",
    shell:
        "glow pretrain --output {output} {params.model} {input.trunk} {params.flags} 2>&1 | tee -a {log} >> {log}.all"


rule scratch:
    input:
        text=study.trajectories(experiment.domain_names[0]),
    output:
        directory(f"{RESULTS}/{{made}}"),
    log:
        f"{LOGS}/scratch/{{made}}.log",
    benchmark:
        f"{BENCHMARKS}/scratch/{{made}}.tsv"
    wildcard_constraints:
        made=one_of(study.models_from("scratch")),
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
        gpu=0,
    params:
        settings=lambda wildcards: depends_on(study.models[wildcards.made].scratch),
        flags=lambda wildcards, resources: options(study.models[wildcards.made].scratch),
    shell:
        "glow scratch --text {input.text} --output {output} {params.flags} 2>&1 | tee -a {log} >> {log}.all"


rule fetch:
    output:
        directory(f"{RESULTS}/{{made}}"),
    log:
        f"{LOGS}/fetch/{{made}}.log",
    benchmark:
        f"{BENCHMARKS}/fetch/{{made}}.tsv"
    wildcard_constraints:
        made=one_of(study.models_from("hub")),
    localrule: True
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
        gpu=0,
    params:
        settings=lambda wildcards: depends_on(study.models[wildcards.made].hub),
        flags=lambda wildcards, resources: options(study.models[wildcards.made].hub),
        online=lambda wildcards, resources: ONLINE,
    shell:
        "{params.online} glow fetch --output {output} {params.flags} 2>&1 | tee -a {log} >> {log}.all"
