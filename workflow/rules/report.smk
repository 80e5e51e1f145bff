# The page that shows all of it.


rule report:
    input:
        inventory=manifests("inventory", SHARDS),
        register=manifests("register", SHARDS),
        segment=manifests("segment", SHARDS),
        masks=manifests("masks", SHARDS),
        text=manifests("encode_text", SHARDS),
        samples=manifests("sample", TEST_SHARDS),
        losses=[rules.train_tokenizer.output.loss, "results/train_dit/loss.csv"],
        model="results/train_dit/model/model.json",
        tables=page_inputs(SETTINGS, Table),
        figures=page_inputs(SETTINGS, Figure),
    output:
        **outputs_of("report"),
    log:
        "logs/report.log",
    benchmark:
        "logs/benchmarks/report.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("report")
    resources:
        **resources_of("report"),
    params:
        cfg=params_of("report"),
    shell:
        "python -m medsyn2 report --config {params.cfg:q} --inventory {input.inventory} --register {input.register}"
        " --segment {input.segment} --masks {input.masks} --text {input.text} --samples {input.samples}"
        " --losses {input.losses} --model {input.model} --tables {input.tables} --figures {input.figures} --timings logs/benchmarks"
        " --page {output.page} --cases {output.cases} --quarantine {output.quarantine} > {log} 2>&1"
