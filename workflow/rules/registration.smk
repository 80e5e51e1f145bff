# The common template, and every case brought to its grid.


rule template:
    input:
        inventory=manifests("inventory", PLAN.template_shards),
        given=given("template.path"),
    output:
        **outputs_of("template"),
    log:
        "logs/template.log",
    benchmark:
        "logs/benchmarks/template.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("template")
    resources:
        **resources_of("template"),
    params:
        cfg=params_of("template"),
    shell:
        "python -m medsyn2 template --config {params.cfg:q} --inventory {input.inventory}"
        " --given {input.given:q} --reference {output.reference} > {log} 2>&1"


rule register:
    input:
        inventory="results/inventory/{shard}.json",
        template=rules.template.output.reference,
    output:
        **outputs_of("register"),
    log:
        "logs/register/{shard}.log",
    benchmark:
        "logs/benchmarks/register/{shard}.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("register")
    resources:
        **resources_of("register"),
    params:
        cfg=params_of("register"),
    shell:
        "python -m medsyn2 register --config {params.cfg:q} --inventory {input.inventory}"
        " --template {input.template} --manifest {output.manifest} > {log} 2>&1"
