# Models trained beside the main one with other settings: the same stages with other sections, then their comparison.


use rule train_dit as train_variant with:
    output:
        model="results/variants/{variant}/train_dit/model/model.json",
        loss="results/variants/{variant}/train_dit/loss.csv",
    log:
        "logs/train_dit/{variant}.log",
    benchmark:
        "logs/benchmarks/train_dit/{variant}.tsv"
    params:
        cfg=variant_params_of("train_dit"),


use rule sample as sample_variant with:
    input:
        model=rules.train_variant.output.model,
        inventory="results/inventory/{shard}.json",
        register="results/register/{shard}.json",
        masks="results/masks/{shard}.json",
    output:
        manifest="results/variants/{variant}/sample/{shard}.json",
    log:
        "logs/sample/{variant}_{shard}.log",
    benchmark:
        "logs/benchmarks/sample/{variant}_{shard}.tsv"


use rule evaluate_fid as evaluate_variant_fid with:
    input:
        register=of("register", TEST_SHARDS),
        samples=of("variants/{variant}/sample", TEST_SHARDS),
    output:
        tables=[
            f"results/variants/{{variant}}/fid_{window}.csv" for window in WINDOWS_HU
        ],
        figure="results/variants/{variant}/comparison.png",
    log:
        "logs/evaluate_fid/{variant}.log",
    benchmark:
        "logs/benchmarks/evaluate_fid/{variant}.tsv"
    params:
        banks="results/variants/{variant}/evaluate_fid",


use rule evaluate_masks as evaluate_variant_masks with:
    input:
        masks=of("masks", TEST_SHARDS),
        register=of("register", TEST_SHARDS),
        samples=of("variants/{variant}/sample", TEST_SHARDS),
        reconstructions="results/evaluate_tokenizer/held_out.json",
    output:
        table="results/variants/{variant}/mask_agreement.csv",
        cases="results/variants/{variant}/mask_agreement_cases.csv",
    log:
        "logs/evaluate_masks/{variant}.log",
    benchmark:
        "logs/benchmarks/evaluate_masks/{variant}.tsv"


use rule evaluate_attention as evaluate_variant_attention with:
    input:
        model=rules.train_variant.output.model,
        inventory=of("inventory", TEST_SHARDS),
        register=of("register", TEST_SHARDS),
    output:
        table="results/variants/{variant}/attention.csv",
        figure=report(
            "results/variants/{variant}/attention.png",
            category="Figures",
            caption="../report/attention.rst",
        ),
    log:
        "logs/evaluate_attention/{variant}.log",
    benchmark:
        "logs/benchmarks/evaluate_attention/{variant}.tsv"


rule evaluate_variants:
    input:
        models=of_models("train_dit/model/model.json"),
        samples=[
            path
            for shards in of_models("sample/{shard}.json")
            for path in expand(shards, shard=TEST_SHARDS)
        ],
        agreement=of_models("mask_agreement_cases.csv"),
        attention=of_models("attention.csv"),
        fid=[
            path
            for window in of_models("fid_{window}.csv")
            for path in expand(window, window=WINDOWS_HU)
        ],
        inventory=of("inventory", TEST_SHARDS),
        register=of("register", TEST_SHARDS),
        masks=of("masks", TEST_SHARDS),
    output:
        table=report(
            "results/variants.csv",
            category="Tables",
            caption="../report/variants.rst",
        ),
        cases="results/variants_cases.csv",
        figure=report(
            "results/variants.png",
            category="Figures",
            caption="../report/variants.rst",
        ),
        left_out=report(
            "results/left_out.png",
            category="Figures",
            caption="../report/left_out.rst",
        ),
    log:
        "logs/evaluate_variants.log",
    benchmark:
        "logs/benchmarks/evaluate_variants.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    resources:
        gpu=1,
        mem_mb=8000,
        runtime=480,
    params:
        cfg=params_of("evaluate_variants"),
    shell:
        "python -m medsyn2 evaluate_variants --config {params.cfg:q} --models {input.models}"
        " --samples {input.samples} --agreement {input.agreement} --attention {input.attention} --fid {input.fid}"
        " --inventory {input.inventory} --register {input.register} --masks {input.masks} --table {output.table}"
        " --cases {output.cases} --figure {output.figure} --left-out-figure {output.left_out} > {log} 2>&1"
