# The cohort: the embedded phantoms, the inventory of every file, and the check of the splits.


rule phantoms:
    output:
        **outputs_of("phantoms"),
    log:
        "logs/phantoms/{shard}.log",
    benchmark:
        "logs/benchmarks/phantoms/{shard}.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("phantoms")
    resources:
        **resources_of("phantoms"),
    params:
        cfg=params_of("phantoms"),
        cases=lambda wildcards: PLAN.cases(wildcards.shard),
    shell:
        "python -m medsyn2 phantoms --config {params.cfg:q} --cases {params.cases:q}"
        " --manifest {output.manifest} --reports {output.reports} --labels {output.labels} > {log} 2>&1"


rule inventory:
    input:
        phantoms="results/phantoms/{shard}.json" if PLAN.has_phantoms else [],
        reports=tables("reports"),
        labels=tables("labels"),
        metadata=tables("metadata"),
    output:
        **outputs_of("inventory"),
    log:
        "logs/inventory/{shard}.log",
    benchmark:
        "logs/benchmarks/inventory/{shard}.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("inventory")
    resources:
        **resources_of("inventory"),
    params:
        cfg=params_of("inventory"),
        cases=lambda wildcards: PLAN.inventory_cases(wildcards.shard),
        files=lambda wildcards: PLAN.file_state(wildcards.shard),
    shell:
        "python -m medsyn2 inventory --config {params.cfg:q} --cases {params.cases:q}"
        " --reports {input.reports:q} --labels {input.labels:q} --metadata {input.metadata:q}"
        " --manifest {output.manifest} > {log} 2>&1"


rule check_split:
    input:
        inventory=manifests("inventory", SHARDS),
    output:
        **outputs_of("check_split"),
    log:
        "logs/check_split.log",
    benchmark:
        "logs/benchmarks/check_split.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("check_split")
    resources:
        **resources_of("check_split"),
    params:
        cfg=params_of("check_split"),
    shell:
        "python -m medsyn2 check_split --config {params.cfg:q} --inventory {input.inventory} --split {output.split}"
        " > {log} 2>&1"
