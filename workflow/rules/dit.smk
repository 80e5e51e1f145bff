# The diffusion transformer: training, and the samples of the held-out cases.


rule train_dit:
    input:
        latents=manifests_of_split("encode_latents", "train", least=1),
        text=manifests("encode_text", TRAIN_SHARDS),
        prompts=rules.encode_prompts.output.prompts,
        split=rules.check_split.output.split,
        tokenizer=rules.train_tokenizer.output.weights,
        encoder=ENCODER_FILE,
        template=rules.template.output.reference,
    output:
        **outputs_of("train_dit"),
    log:
        "logs/{variant}train_dit.log",
    benchmark:
        "logs/benchmarks/{variant}train_dit.tsv"
    priority: 1
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("train_dit")
    resources:
        **resources_of("train_dit"),
    params:
        cfg=params_of("train_dit"),
        encoder=subpath(input.encoder, parent=True),
    shell:
        "python -m medsyn2 train_dit --config {params.cfg:q} --latents {input.latents} --text {input.text}"
        " --prompts {input.prompts} --tokenizer {input.tokenizer} --encoder {params.encoder:q}"
        " --template {input.template} --model {output.model} --loss {output.loss}"
        " --processes {resources.gpu} > {log} 2>&1"


rule sample:
    input:
        model="results/{variant}train_dit/model/model.json",
        inventory="results/inventory/{shard}.json",
        register="results/register/{shard}.json",
        masks="results/masks/{shard}.json",
    output:
        **outputs_of("sample"),
    log:
        "logs/{variant}sample/{shard}.log",
    benchmark:
        "logs/benchmarks/{variant}sample/{shard}.tsv"
    conda:
        "../../envs/medsyn2.yaml"
    threads: threads_of("sample")
    resources:
        **resources_of("sample"),
    params:
        cfg=params_of("sample"),
    shell:
        "python -m medsyn2 sample --config {params.cfg:q} --model {input.model} --inventory {input.inventory}"
        " --register {input.register} --masks {input.masks} --manifest {output.manifest} > {log} 2>&1"
