# The CT video tokenizer, and the latents of volumes and masks.


rule train_tokenizer:
    input:
        register=manifests_of_split("register", "train", least=1),
        split=rules.check_split.output.split,
    output:
        **outputs_of("train_tokenizer"),
    log:
        "logs/train_tokenizer.log",
    benchmark:
        "logs/benchmarks/train_tokenizer.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("train_tokenizer")
    resources:
        **resources_of("train_tokenizer"),
    params:
        cfg=params_of("train_tokenizer"),
    shell:
        "python -m medsyn2 train_tokenizer --config {params.cfg:q} --register {input.register}"
        " --weights {output.weights} --loss {output.loss} --processes {resources.gpu} > {log} 2>&1"


rule encode_latents:
    input:
        register="results/register/{shard}.json",
        masks="results/masks/{shard}.json",
        tokenizer=rules.train_tokenizer.output.weights,
    output:
        **outputs_of("encode_latents"),
    log:
        "logs/encode_latents/{shard}.log",
    benchmark:
        "logs/benchmarks/encode_latents/{shard}.tsv"
    # The transformer waits for latents, nothing but a table for what else could run now.
    priority: 1
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("encode_latents")
    resources:
        **resources_of("encode_latents"),
    params:
        cfg=params_of("encode_latents"),
    shell:
        "python -m medsyn2 encode_latents --config {params.cfg:q} --register {input.register}"
        " --masks {input.masks} --tokenizer {input.tokenizer} --manifest {output.manifest} > {log} 2>&1"
