# The nine masks: external or classical segmenters on the CT, then binary masks on the grid.


rule segment:
    input:
        inventory="results/inventory/{shard}.json",
        register="results/register/{shard}.json",
    output:
        **outputs_of("segment"),
    log:
        "logs/segment/{shard}.log",
    benchmark:
        "logs/benchmarks/segment/{shard}.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("segment")
    resources:
        **resources_of("segment"),
    params:
        cfg=params_of("segment"),
        files=lambda wildcards: PLAN.mask_state(wildcards.shard),
    shell:
        "python -m medsyn2 segment --config {params.cfg:q} --inventory {input.inventory}"
        " --register {input.register} --manifest {output.manifest} > {log} 2>&1"


rule masks:
    input:
        register="results/register/{shard}.json",
        segment="results/segment/{shard}.json",
    output:
        **outputs_of("masks"),
    log:
        "logs/masks/{shard}.log",
    benchmark:
        "logs/benchmarks/masks/{shard}.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("masks")
    resources:
        **resources_of("masks"),
    params:
        cfg=params_of("masks"),
    shell:
        "python -m medsyn2 masks --config {params.cfg:q} --register {input.register}"
        " --segment {input.segment} --manifest {output.manifest} > {log} 2>&1"
