# The cohort: the embedded phantoms, and the inventory of every file.


rule phantoms:
    output:
        manifest="results/phantoms/{shard}.json",
        reports="results/phantoms/{shard}_reports.csv",
        labels="results/phantoms/{shard}_labels.csv",
    log:
        "logs/phantoms/{shard}.log",
    benchmark:
        "logs/benchmarks/phantoms/{shard}.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        cfg=params_of("phantoms"),
        cases=cases_of,
    shell:
        "python -m medsyn2 phantoms --config {params.cfg:q} --cases {params.cases:q}"
        " --manifest {output.manifest} --reports {output.reports} --labels {output.labels} > {log} 2>&1"


rule inventory:
    input:
        phantoms="results/phantoms/{shard}.json" if PHANTOMS else [],
        reports=table("reports"),
        labels=table("labels"),
        metadata=table("metadata"),
    output:
        manifest="results/inventory/{shard}.json",
    log:
        "logs/inventory/{shard}.log",
    benchmark:
        "logs/benchmarks/inventory/{shard}.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        cfg=params_of("inventory"),
        cases=listed_of,
        files=files_of,
    shell:
        "python -m medsyn2 inventory --config {params.cfg:q} --cases {params.cases:q}"
        " --reports {input.reports:q} --labels {input.labels:q} --metadata {input.metadata:q}"
        " --manifest {output.manifest} > {log} 2>&1"
