# The evaluation: one table for each question.


rule evaluate_fid:
    input:
        register=of_split("register", "test", least=2),
        samples=of("sample", TEST_SHARDS),
    output:
        tables=report(
            FID_TABLES,
            category="Tables",
            caption="../report/fid.rst",
        ),
        figure=report(
            "results/comparison.png",
            category="Figures",
            caption="../report/comparison.rst",
        ),
    log:
        "logs/evaluate_fid.log",
    benchmark:
        "logs/benchmarks/evaluate_fid.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: THREADS
    resources:
        mem_mb=FID_MEM_MB,
        runtime=480,
    params:
        cfg=params_of("evaluate_fid"),
        banks="results/evaluate_fid",
    shell:
        "python -m medsyn2 evaluate_fid --config {params.cfg:q} --register {input.register}"
        " --samples {input.samples} --banks {params.banks} --cache results/features --tables {output.tables}"
        " --figure {output.figure} > {log} 2>&1"


rule evaluate_memorisation:
    input:
        register=of("register", SHARDS),
        samples=of("sample", TEST_SHARDS),
        latents=of("encode_latents", TRAIN_SHARDS),
        tokenizer=rules.train_tokenizer.output.tokenizer,
        reconstructions="results/evaluate_tokenizer/held_out.json",
    output:
        table=report(
            MEMORISATION_TABLES,
            category="Tables",
            caption="../report/memorisation.rst",
        ),
        pairs="results/memorisation_pairs.csv",
        sheet=report(
            "results/memorisation_pairs.png",
            category="Figures",
            caption="../report/memorisation_pairs.rst",
        ),
    log:
        "logs/evaluate_memorisation.log",
    benchmark:
        "logs/benchmarks/evaluate_memorisation.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=8000,
        runtime=480,
    params:
        cfg=params_of("evaluate_memorisation"),
    shell:
        "python -m medsyn2 evaluate_memorisation --config {params.cfg:q} --register {input.register}"
        " --samples {input.samples} --latents {input.latents} --tokenizer {input.tokenizer}"
        " --reconstructions {input.reconstructions} --banks results/evaluate_memorisation --cache results/features"
        " --table {output.table} --pairs {output.pairs} --sheet {output.sheet} > {log} 2>&1"


rule evaluate_masks:
    input:
        masks=of("masks", TEST_SHARDS),
        register=of("register", TEST_SHARDS),
        samples=of("sample", TEST_SHARDS),
        reconstructions="results/evaluate_tokenizer/held_out.json",
    output:
        table=report(
            "results/mask_agreement.csv",
            category="Tables",
            caption="../report/mask_agreement.rst",
        ),
        cases="results/mask_agreement_cases.csv",
    log:
        "logs/evaluate_masks.log",
    benchmark:
        "logs/benchmarks/evaluate_masks.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    resources:
        mem_mb=8000,
        runtime=480,
    params:
        cfg=params_of("evaluate_masks"),
    shell:
        "python -m medsyn2 evaluate_masks --config {params.cfg:q} --masks {input.masks}"
        " --register {input.register} --samples {input.samples}"
        " --reconstructions {input.reconstructions} --table {output.table} --cases {output.cases} > {log} 2>&1"


rule evaluate_edits:
    input:
        model=rules.train_dit.output.model,
        register=of("register", TEST_SHARDS),
        masks=of("masks", TEST_SHARDS),
    output:
        seeds=report(
            "results/seeds.csv",
            category="Tables",
            caption="../report/seeds.rst",
        ),
        edits=report(
            "results/edits.csv",
            category="Tables",
            caption="../report/edits.rst",
        ),
        progressive=report(
            "results/progressive.csv",
            category="Tables",
            caption="../report/progressive.rst",
        ),
        seeds_figure=report(
            "results/seeds.png",
            category="Figures",
            caption="../report/seeds.rst",
        ),
        edits_figure=report(
            "results/edits.png",
            category="Figures",
            caption="../report/edits.rst",
        ),
        progressive_figure=report(
            "results/progressive.png",
            category="Figures",
            caption="../report/progressive.rst",
        ),
    log:
        "logs/evaluate_edits.log",
    benchmark:
        "logs/benchmarks/evaluate_edits.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    resources:
        gpu=GPU,
        mem_mb=8000,
        runtime=480,
    params:
        cfg=params_of("evaluate_edits"),
    shell:
        "python -m medsyn2 evaluate_edits --config {params.cfg:q} --model {input.model} --register {input.register}"
        " --masks {input.masks} --seeds {output.seeds} --edits {output.edits} --progressive {output.progressive}"
        " --seeds-figure {output.seeds_figure} --edits-figure {output.edits_figure}"
        " --progressive-figure {output.progressive_figure} > {log} 2>&1"


rule evaluate_attention:
    input:
        model=rules.train_dit.output.model,
        inventory=of("inventory", TEST_SHARDS),
        register=of("register", TEST_SHARDS),
    output:
        table=report(
            ATTENTION_TABLES,
            category="Tables",
            caption="../report/attention.rst",
        ),
        figure=report(
            ATTENTION_FIGURES,
            category="Figures",
            caption="../report/attention.rst",
        ),
    log:
        "logs/evaluate_attention.log",
    benchmark:
        "logs/benchmarks/evaluate_attention.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    resources:
        gpu=GPU,
        mem_mb=8000,
        runtime=240,
    params:
        cfg=params_of("evaluate_attention"),
    shell:
        "python -m medsyn2 evaluate_attention --config {params.cfg:q} --model {input.model}"
        " --inventory {input.inventory} --register {input.register} --table {output.table}"
        " --figure {output.figure} > {log} 2>&1"


rule evaluate_scores:
    input:
        inventory=of("inventory", SHARDS),
        register=of("register", SHARDS),
        text=of("encode_text", SHARDS),
        encoder=ENCODER_FILE,
        samples=of("sample", TEST_SHARDS),
    output:
        clip=report(
            "results/clip_scores.csv",
            category="Tables",
            caption="../report/clip_scores.rst",
        ),
        zero_shot=report(
            "results/zero_shot.csv",
            category="Tables",
            caption="../report/zero_shot.rst",
        ),
    log:
        "logs/evaluate_scores.log",
    benchmark:
        "logs/benchmarks/evaluate_scores.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    resources:
        mem_mb=8000,
        runtime=480,
    params:
        cfg=params_of("evaluate_scores"),
        encoder=subpath(input.encoder, parent=True),
    shell:
        "python -m medsyn2 evaluate_scores --config {params.cfg:q} --inventory {input.inventory}"
        " --register {input.register} --text {input.text} --encoder {params.encoder:q} --samples {input.samples}"
        " --banks results/evaluate_scores --cache results/features --clip {output.clip} --zero-shot {output.zero_shot} > {log} 2>&1"


rule evaluate_augmentation:
    input:
        model=rules.train_dit.output.model,
        register=of("register", SHARDS),
        masks=of("masks", SHARDS),
    output:
        table=report(
            "results/augmentation.csv",
            category="Tables",
            caption="../report/augmentation.rst",
        ),
        cases="results/augmentation_cases.csv",
        figure=report(
            AUGMENTATION_FIGURES,
            category="Figures",
            caption="../report/augmentation_figure.rst",
        ),
    log:
        "logs/evaluate_augmentation.log",
    benchmark:
        "logs/benchmarks/evaluate_augmentation.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    resources:
        gpu=GPU,
        mem_mb=8000,
        runtime=1440,
    params:
        cfg=params_of("evaluate_augmentation"),
    shell:
        "python -m medsyn2 evaluate_augmentation --config {params.cfg:q} --model {input.model}"
        " --register {input.register} --masks {input.masks} --slices results/evaluate_augmentation/slices.json"
        " --table {output.table} --cases {output.cases} --figure {output.figure} > {log} 2>&1"


rule evaluate_tokenizer:
    input:
        register=of_split("register", "test", least=1),
        masks=of("masks", TEST_SHARDS),
        tokenizer=rules.train_tokenizer.output.tokenizer,
    output:
        manifest="results/evaluate_tokenizer/held_out.json",
        images=report(
            "results/reconstruction.csv",
            category="Tables",
            caption="../report/reconstruction.rst",
        ),
        masks_table=report(
            "results/mask_reconstruction.csv",
            category="Tables",
            caption="../report/mask_reconstruction.rst",
        ),
    log:
        "logs/evaluate_tokenizer.log",
    benchmark:
        "logs/benchmarks/evaluate_tokenizer.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    # Never beside the one core that the transformer waits for.
    threads: 8
    resources:
        gpu=GPU,
        mem_mb=8000,
        runtime=480,
    params:
        cfg=params_of("evaluate_tokenizer"),
    shell:
        "python -m medsyn2 evaluate_tokenizer --config {params.cfg:q} --register {input.register}"
        " --masks {input.masks} --tokenizer {input.tokenizer} --manifest {output.manifest}"
        " --images {output.images} --masks-table {output.masks_table} > {log} 2>&1"
