# The text encoder, and the embeddings of reports and pre-prompts.
ENCODER_DIR = SETTINGS.encode_text.encoder_dir or "results/train_text_encoder/encoder"
ENCODER_FILE = f"{ENCODER_DIR}/config.json"


rule train_text_encoder:
    input:
        inventory=manifests_of_split("inventory", "train", least=1),
        split=rules.check_split.output.split,
    output:
        **outputs_of("train_text_encoder"),
    log:
        "logs/train_text_encoder.log",
    benchmark:
        "logs/benchmarks/train_text_encoder.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("train_text_encoder")
    resources:
        **resources_of("train_text_encoder"),
    params:
        cfg=params_of("train_text_encoder"),
    shell:
        "python -m medsyn2 train_text_encoder --config {params.cfg:q} --inventory {input.inventory}"
        " --encoder {output.encoder} > {log} 2>&1"


rule encode_prompts:
    input:
        encoder=ENCODER_FILE,
    output:
        **outputs_of("encode_prompts"),
    log:
        "logs/encode_prompts.log",
    benchmark:
        "logs/benchmarks/encode_prompts.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("encode_prompts")
    resources:
        **resources_of("encode_prompts"),
    params:
        cfg=params_of("encode_prompts"),
        encoder=subpath(input.encoder, parent=True),
    shell:
        "python -m medsyn2 encode_prompts --config {params.cfg:q} --encoder {params.encoder:q}"
        " --prompts {output.prompts} > {log} 2>&1"


rule encode_text:
    input:
        inventory="results/inventory/{shard}.json",
        encoder=ENCODER_FILE,
    output:
        **outputs_of("encode_text"),
    log:
        "logs/encode_text/{shard}.log",
    benchmark:
        "logs/benchmarks/encode_text/{shard}.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("encode_text")
    resources:
        **resources_of("encode_text"),
    params:
        cfg=params_of("encode_text"),
        encoder=subpath(input.encoder, parent=True),
    shell:
        "python -m medsyn2 encode_text --config {params.cfg:q} --inventory {input.inventory}"
        " --encoder {params.encoder:q} --manifest {output.manifest} > {log} 2>&1"
