# The evaluation: one table for each question.


rule reconstruct:
    input:
        register=of_batch("register", TEST_BATCHES),
        earlier=of_earlier_batches("register", TEST_BATCHES),
        masks=of_batch("masks", TEST_BATCHES),
        tokenizer=rules.train_tokenizer.output.weights,
    output:
        **outputs_of("reconstruct"),
    log:
        "logs/reconstruct/{shard}.log",
    benchmark:
        "logs/benchmarks/reconstruct/{shard}.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("reconstruct")
    resources:
        **resources_of("reconstruct"),
    params:
        cfg=params_of("reconstruct"),
    shell:
        "python -m medsyn2 reconstruct --config {params.cfg:q} --register {input.register} --earlier {input.earlier}"
        " --masks {input.masks} --tokenizer {input.tokenizer} --manifest {output.manifest} > {log} 2>&1"


rule extract_features:
    input:
        register=of_batch("register", BATCHES),
        samples=of_batch("{variant}sample", BATCHES, TEST_SHARDS),
        reconstructions=lambda wildcards: (
            [] if wildcards.variant else reconstructions_of_batch(BATCHES)(wildcards)
        ),
    output:
        **outputs_of("extract_features"),
    log:
        "logs/{variant}extract_features/{shard}.log",
    benchmark:
        "logs/benchmarks/{variant}extract_features/{shard}.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("extract_features")
    resources:
        **resources_of("extract_features"),
    params:
        cfg=params_of("extract_features"),
    shell:
        "python -m medsyn2 extract_features --config {params.cfg:q} --register {input.register}"
        " --samples {input.samples} --reconstructions {input.reconstructions} --cache results/features"
        " --manifest {output.manifest} > {log} 2>&1"


rule evaluate_fid:
    input:
        register=manifests_of_split("register", "test", least=2),
        samples=manifests("{variant}sample", TEST_SHARDS),
        features=features_of("{variant}extract_features", {"test": None}),
    output:
        **outputs_of("evaluate_fid"),
    log:
        "logs/{variant}evaluate_fid.log",
    benchmark:
        "logs/benchmarks/{variant}evaluate_fid.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("evaluate_fid")
    resources:
        **resources_of("evaluate_fid"),
    params:
        cfg=params_of("evaluate_fid"),
        banks="results/{variant}evaluate_fid",
    shell:
        "python -m medsyn2 evaluate_fid --config {params.cfg:q} --register {input.register}"
        " --samples {input.samples} --banks {params.banks} --cache results/features --tables {output.tables}"
        " --figure {output.figure} --indices {output.indices} --index-cases {output.index_cases}"
        " --indices-figure {output.indices_figure} > {log} 2>&1"


rule sample_training:
    input:
        model="results/train_dit/model/model.json",
        inventory=manifests("inventory", PROMPT_SHARDS),
        register=manifests("register", PROMPT_SHARDS),
        masks=manifests("masks", PROMPT_SHARDS),
    output:
        **outputs_of("sample_training"),
    log:
        "logs/sample_training.log",
    benchmark:
        "logs/benchmarks/sample_training.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("sample_training")
    resources:
        **resources_of("sample_training"),
    params:
        cfg=params_of("sample_training"),
    shell:
        "python -m medsyn2 sample_training --config {params.cfg:q} --model {input.model} --inventory {input.inventory}"
        " --register {input.register} --masks {input.masks} --manifest {output.manifest} > {log} 2>&1"


rule evaluate_memorisation:
    input:
        register=manifests("register", SHARDS),
        samples=manifests("sample", TEST_SHARDS),
        recalled=rules.sample_training.output.manifest,
        latents=manifests("encode_latents", TRAIN_SHARDS),
        tokenizer=rules.train_tokenizer.output.weights,
        reconstructions=manifests("reconstruct", RECONSTRUCTED),
        features=features_of(
            "extract_features",
            {"test": None, "train": SETTINGS.evaluate_memorisation.max_train},
        ),
    output:
        **outputs_of("evaluate_memorisation"),
    log:
        "logs/evaluate_memorisation.log",
    benchmark:
        "logs/benchmarks/evaluate_memorisation.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("evaluate_memorisation")
    resources:
        **resources_of("evaluate_memorisation"),
    params:
        cfg=params_of("evaluate_memorisation"),
    shell:
        "python -m medsyn2 evaluate_memorisation --config {params.cfg:q} --register {input.register}"
        " --samples {input.samples} --recalled {input.recalled} --latents {input.latents}"
        " --tokenizer {input.tokenizer} --reconstructions {input.reconstructions} --banks results/evaluate_memorisation --cache results/features"
        " --table {output.table} --pairs {output.pairs} --sheet {output.sheet} > {log} 2>&1"


rule segment_samples:
    input:
        register=of_batch("register", TEST_BATCHES),
        samples=of_batch("{variant}sample", TEST_BATCHES),
        reconstructions=reconstructions_of_batch(TEST_BATCHES),
    output:
        **outputs_of("segment_samples"),
    log:
        "logs/{variant}segment_samples/{shard}.log",
    benchmark:
        "logs/benchmarks/{variant}segment_samples/{shard}.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("segment_samples")
    resources:
        **resources_of("segment_samples"),
    params:
        cfg=params_of("segment_samples"),
    shell:
        "python -m medsyn2 segment_samples --config {params.cfg:q} --register {input.register}"
        " --samples {input.samples} --reconstructions {input.reconstructions}"
        " --manifest {output.manifest} > {log} 2>&1"


rule measure_masks:
    input:
        # The masks of other patients' cases are compared too.
        register=manifests("register", TEST_SHARDS),
        masks=manifests("masks", TEST_SHARDS),
        samples=manifests("{variant}sample", TEST_SHARDS),
        reconstructions=reconstructions_of_batch(TEST_BATCHES),
        found="results/{variant}segment_samples/{shard}.json",
    output:
        **outputs_of("measure_masks"),
    log:
        "logs/{variant}measure_masks/{shard}.log",
    benchmark:
        "logs/benchmarks/{variant}measure_masks/{shard}.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("measure_masks")
    resources:
        **resources_of("measure_masks"),
    params:
        cfg=params_of("measure_masks"),
    shell:
        "python -m medsyn2 measure_masks --config {params.cfg:q} --register {input.register} --masks {input.masks}"
        " --samples {input.samples} --reconstructions {input.reconstructions} --found {input.found}"
        " --manifest {output.manifest} > {log} 2>&1"


rule evaluate_masks:
    input:
        measured=manifests("{variant}measure_masks", TEST_BATCHES),
    output:
        **outputs_of("evaluate_masks"),
    log:
        "logs/{variant}evaluate_masks.log",
    benchmark:
        "logs/benchmarks/{variant}evaluate_masks.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("evaluate_masks")
    resources:
        **resources_of("evaluate_masks"),
    params:
        cfg=params_of("evaluate_masks"),
    shell:
        "python -m medsyn2 evaluate_masks --config {params.cfg:q} --measured {input.measured}"
        " --table {output.table} --cases {output.cases} > {log} 2>&1"


rule measure_hu:
    input:
        register=of_batch("register", TEST_BATCHES),
        masks=of_batch("masks", TEST_BATCHES),
        samples=of_batch("{variant}sample", TEST_BATCHES),
    output:
        **outputs_of("measure_hu"),
    log:
        "logs/{variant}measure_hu/{shard}.log",
    benchmark:
        "logs/benchmarks/{variant}measure_hu/{shard}.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("measure_hu")
    resources:
        **resources_of("measure_hu"),
    params:
        cfg=params_of("measure_hu"),
    shell:
        "python -m medsyn2 measure_hu --config {params.cfg:q} --register {input.register} --masks {input.masks}"
        " --samples {input.samples} --manifest {output.manifest} > {log} 2>&1"


rule evaluate_hu:
    input:
        measured=manifests("{variant}measure_hu", TEST_BATCHES),
        samples=manifests("{variant}sample", TEST_SHARDS),
    output:
        **outputs_of("evaluate_hu"),
    log:
        "logs/{variant}evaluate_hu.log",
    benchmark:
        "logs/benchmarks/{variant}evaluate_hu.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("evaluate_hu")
    resources:
        **resources_of("evaluate_hu"),
    params:
        cfg=params_of("evaluate_hu"),
    shell:
        "python -m medsyn2 evaluate_hu --config {params.cfg:q} --measured {input.measured} --samples {input.samples}"
        " --table {output.table} --cases {output.cases} --figure {output.figure} > {log} 2>&1"


rule evaluate_scores:
    input:
        inventory=manifests("inventory", SHARDS),
        register=manifests("register", SHARDS),
        text=manifests("encode_text", SHARDS),
        encoder=ENCODER_FILE,
        samples=manifests("sample", TEST_SHARDS),
        features=features_of(
            "extract_features",
            {"test": None, "train": SETTINGS.evaluate_scores.max_train},
        ),
    output:
        **outputs_of("evaluate_scores"),
    log:
        "logs/evaluate_scores.log",
    benchmark:
        "logs/benchmarks/evaluate_scores.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("evaluate_scores")
    resources:
        **resources_of("evaluate_scores"),
    params:
        cfg=params_of("evaluate_scores"),
        encoder=subpath(input.encoder, parent=True),
    shell:
        "python -m medsyn2 evaluate_scores --config {params.cfg:q} --inventory {input.inventory}"
        " --register {input.register} --text {input.text} --encoder {params.encoder:q} --samples {input.samples}"
        " --banks results/evaluate_scores --cache results/features --clip {output.clip} --zero-shot {output.zero_shot} > {log} 2>&1"


rule evaluate_augmentation:
    input:
        model="results/train_dit/model/model.json",
        register=manifests("register", SHARDS),
        masks=manifests("masks", SHARDS),
        public=given("evaluate_augmentation.public"),
    output:
        **outputs_of("evaluate_augmentation"),
    log:
        "logs/evaluate_augmentation.log",
    benchmark:
        "logs/benchmarks/evaluate_augmentation.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("evaluate_augmentation")
    resources:
        **resources_of("evaluate_augmentation"),
    params:
        cfg=params_of("evaluate_augmentation"),
    shell:
        "python -m medsyn2 evaluate_augmentation --config {params.cfg:q} --model {input.model}"
        " --register {input.register} --masks {input.masks} --slices results/evaluate_augmentation/slices.json"
        " --networks results/evaluate_augmentation/networks.json"
        " --table {output.table} --cases {output.cases} --figure {output.figure} > {log} 2>&1"


rule evaluate_tokenizer:
    input:
        reconstructions=manifests_of_split(
            "reconstruct", "test", least=1, names=RECONSTRUCTED
        ),
    output:
        **outputs_of("evaluate_tokenizer"),
    log:
        "logs/evaluate_tokenizer.log",
    benchmark:
        "logs/benchmarks/evaluate_tokenizer.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("evaluate_tokenizer")
    resources:
        **resources_of("evaluate_tokenizer"),
    params:
        cfg=params_of("evaluate_tokenizer"),
    shell:
        "python -m medsyn2 evaluate_tokenizer --config {params.cfg:q} --reconstructions {input.reconstructions}"
        " --images {output.images} --masks-table {output.masks_table} > {log} 2>&1"
