# The studies of control: edits, attention and variants.
from medsyn2.vocabulary import WINDOWS_HU


rule evaluate_edits:
    input:
        model="results/train_dit/model/model.json",
        inventory=manifests("inventory", TEST_SHARDS),
        register=manifests("register", TEST_SHARDS),
        masks=manifests("masks", TEST_SHARDS),
    output:
        **outputs_of("evaluate_edits"),
    log:
        "logs/evaluate_edits.log",
    benchmark:
        "logs/benchmarks/evaluate_edits.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("evaluate_edits")
    resources:
        **resources_of("evaluate_edits"),
    params:
        cfg=params_of("evaluate_edits"),
    shell:
        "python -m medsyn2 evaluate_edits --config {params.cfg:q} --model {input.model} --inventory {input.inventory}"
        " --register {input.register} --masks {input.masks} --manifest {output.manifest} --seeds {output.seeds}"
        " --edits {output.edits} --progressive {output.progressive} --seeds-figure {output.seeds_figure}"
        " --edits-figure {output.edits_figure} --progressive-figure {output.progressive_figure} > {log} 2>&1"


rule evaluate_attention:
    input:
        model="results/{variant}train_dit/model/model.json",
        inventory=manifests("inventory", TEST_SHARDS),
        register=manifests("register", TEST_SHARDS),
    output:
        **outputs_of("evaluate_attention"),
    log:
        "logs/{variant}evaluate_attention.log",
    benchmark:
        "logs/benchmarks/{variant}evaluate_attention.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("evaluate_attention")
    resources:
        **resources_of("evaluate_attention"),
    params:
        cfg=params_of("evaluate_attention"),
    shell:
        "python -m medsyn2 evaluate_attention --config {params.cfg:q} --model {input.model}"
        " --inventory {input.inventory} --register {input.register} --manifest {output.manifest}"
        " --table {output.table} --figure {output.figure} > {log} 2>&1"


rule evaluate_variants:
    input:
        models=expand("results/{variant}train_dit/model/model.json", variant=MODELS),
        samples=expand(
            "results/{variant}sample/{shard}.json", variant=MODELS, shard=TEST_SHARDS
        ),
        agreement=expand("results/{variant}mask_agreement_cases.csv", variant=MODELS),
        attention=expand("results/{variant}attention.csv", variant=MODELS),
        fid=expand(
            "results/{variant}fid_{window}.csv", variant=MODELS, window=WINDOWS_HU
        ),
        inventory=manifests("inventory", TEST_SHARDS),
        register=manifests("register", TEST_SHARDS),
        masks=manifests("masks", TEST_SHARDS),
    output:
        **outputs_of("evaluate_variants"),
    log:
        "logs/evaluate_variants.log",
    benchmark:
        "logs/benchmarks/evaluate_variants.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("evaluate_variants")
    resources:
        **resources_of("evaluate_variants"),
    params:
        cfg=params_of("evaluate_variants"),
    shell:
        "python -m medsyn2 evaluate_variants --config {params.cfg:q} --models {input.models}"
        " --samples {input.samples} --agreement {input.agreement} --attention {input.attention} --fid {input.fid}"
        " --inventory {input.inventory} --register {input.register} --masks {input.masks} --manifest {output.manifest}"
        " --table {output.table} --cases {output.cases} --figure {output.figure}"
        " --left-out-figure {output.left_out_figure} > {log} 2>&1"
