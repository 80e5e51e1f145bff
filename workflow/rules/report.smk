# The page that shows all of it.


rule report:
    input:
        inventory=of("inventory", SHARDS),
        register=of("register", SHARDS),
        segment=of("segment", SHARDS),
        masks=of("masks", SHARDS),
        text=of("encode_text", SHARDS),
        samples=of("sample", TEST_SHARDS),
        losses=[rules.train_tokenizer.output.loss, rules.train_dit.output.loss],
        model=rules.train_dit.output.model,
        tables=[
            *FID_TABLES,
            *MEMORISATION_TABLES,
            *AGREEMENT_TABLES,
            *EDITS_TABLES,
            *ATTENTION_TABLES,
            *AUGMENTATION_TABLES,
            *SCORE_TABLES,
            *VARIANTS_TABLES,
            *RECONSTRUCTION_TABLES,
        ],
        figures=[
            *FID_FIGURES,
            *MEMORISATION_FIGURES,
            *EDITS_FIGURES,
            *ATTENTION_FIGURES,
            *AUGMENTATION_FIGURES,
            *UNGATED_FIGURES,
            *VARIANTS_FIGURES,
        ],
    output:
        page=report(
            "results/report.html", category="Report", caption="../report/page.rst"
        ),
        cases="results/cases.csv",
        quarantine=report(
            "results/quarantine.csv",
            category="Tables",
            caption="../report/quarantine.rst",
        ),
    log:
        "logs/report.log",
    benchmark:
        "logs/benchmarks/report.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        cfg=params_of("report"),
    shell:
        "python -m medsyn2 report --config {params.cfg:q} --inventory {input.inventory} --register {input.register}"
        " --segment {input.segment} --masks {input.masks} --text {input.text} --samples {input.samples}"
        " --losses {input.losses} --model {input.model} --tables {input.tables} --figures {input.figures} --timings logs/benchmarks"
        " --page {output.page} --cases {output.cases} --quarantine {output.quarantine} > {log} 2>&1"
