"""The stages: what each reads of the configuration, makes, and needs.

A stage has one name: it is the rule, the CLI verb, the module here and its function, the folder under
``results/`` and, where it has settings, the section of the configuration. A stage's function takes the
sections of this table as positional arguments, by name, and paths as keyword-only arguments, and is the only
kind of code that reads and writes. ``version`` is raised when the meaning of a stage's code changes, which
re-runs the stage and what follows it, as a changed setting does.

The target ``all``, the inputs of the page, the captions of every report and the GPUs of the jobs follow from this
table. Of an evaluation, the room that holds the stage holds its captions too (``captions/``), and its cost
(``cost.py``).

This module is light: Snakemake imports it to parse the workflow.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medsyn2.config import Config
from medsyn2.fingerprints import canonical_json
from medsyn2.stages import devices, outputs
from medsyn2.stages.outputs import Figure, File, Output, Page, Table
from medsyn2.stages.stage import Stage as Stage
from medsyn2.vocabulary import WINDOWS_HU


def _of_shard(name: str) -> tuple[Output, ...]:
    return (File("manifest", (f"{name}/{{shard}}.json",)),)


_ALL = (
    Stage(
        "phantoms",
        ("phantoms",),
        (
            *_of_shard("phantoms"),
            File("reports", ("phantoms/{shard}_reports.csv",)),
            File("labels", ("phantoms/{shard}_labels.csv",)),
        ),
        sharded=True,
    ),
    Stage("inventory", ("inventory",), _of_shard("inventory"), version=6, sharded=True),
    Stage("check_split", (), (File("split", ("check_split/split.json",)),)),
    Stage("template", ("grid", "template", "register"), (File("reference", ("template/template.json",)),)),
    Stage("register", ("grid", "register"), _of_shard("register"), version=3, sharded=True),
    Stage("segment", ("segment",), _of_shard("segment"), version=4, gpu=(devices.segments_cohort,), sharded=True),
    Stage("masks", ("masks",), _of_shard("masks"), sharded=True),
    Stage(
        "train_tokenizer",
        ("grid", "tokenizer", "train_tokenizer"),
        (File("weights", ("train_tokenizer/tokenizer.json",)), File("loss", ("train_tokenizer/loss.csv",))),
        version=2,
        gpu=(devices.always,),
        num_threads=devices.several,
        shared=True,
    ),
    Stage(
        "encode_latents",
        ("grid", "encode_latents", "inference"),
        _of_shard("encode_latents"),
        version=2,
        gpu=(devices.runs_generator,),
        num_threads=devices.several_if_large,
        sharded=True,
    ),
    Stage(
        "train_text_encoder",
        ("train_text_encoder",),
        (
            File("encoder", ("train_text_encoder/encoder.json",)),
            File("config", ("train_text_encoder/encoder/config.json",)),
        ),
    ),
    Stage("encode_prompts", ("encode_text",), (File("prompts", ("encode_prompts/prompts.json",)),)),
    Stage("encode_text", ("encode_text",), _of_shard("encode_text"), version=2, sharded=True),
    Stage(
        "train_dit",
        ("grid", "register", "dit", "flow", "train_dit", "sampling"),
        (File("model", ("train_dit/model/model.json",)), File("loss", ("train_dit/loss.csv",))),
        gpu=(devices.always,),
        num_threads=devices.several,
        shared=True,
        each_model=True,
    ),
    Stage(
        "sample",
        ("sample", "sampling", "inference"),
        _of_shard("sample"),
        version=2,
        gpu=(devices.runs_generator,),
        num_threads=devices.several_if_large,
        sharded=True,
        each_model=True,
    ),
    Stage(
        "reconstruct",
        ("grid", "encode_latents", "evaluate_tokenizer", "inference"),
        _of_shard("reconstruct"),
        gpu=(devices.runs_generator,),
        num_threads=devices.several,  # never beside the one core that the transformer waits for
        sharded=True,
        room="evaluation.tokenizer",
    ),
    Stage(
        "extract_features",
        ("grid", "evaluate_fid", "evaluate_scores"),
        _of_shard("extract_features"),
        version=2,
        gpu=(devices.runs_radimagenet,),
        num_threads=devices.several_if_large,
        sharded=True,
        each_model=True,
        room="evaluation.description",
        unread={
            "evaluate_fid": ("num_draws", "neighbours", "baselines"),
            "evaluate_scores": ("scale", "max_train", "num_draws", "seed"),
        },
    ),
    Stage(
        "evaluate_fid",
        ("grid", "evaluate_fid"),
        (
            Table("tables", tuple(f"fid_{window}.csv" for window in WINDOWS_HU), caption="fid"),
            Figure("figure", ("comparison.png",), caption="comparison"),
            Table("indices", ("indices.csv",), caption="indices"),
            Table("index_cases", ("index_cases.csv",)),
            Figure("indices_figure", ("indices.png",), caption="indices_figure"),
        ),
        version=6,
        gpu=(devices.runs_radimagenet,),
        num_threads=devices.several_if_large,
        each_model=True,
        room="evaluation.fidelity",
    ),
    Stage(
        "sample_training",
        ("sample", "sampling", "inference", "evaluate_memorisation"),
        (File("manifest", ("sample_training/requests.json",)),),
        gpu=(devices.runs_generator,),
        num_threads=devices.several_if_large,
        room="evaluation.memorisation",
        unread={"evaluate_memorisation": ("max_train", "num_copies", "num_pairs")},
    ),
    Stage(
        "evaluate_memorisation",
        ("grid", "evaluate_fid", "evaluate_memorisation", "inference"),
        (
            Table("table", ("memorisation.csv",), caption="memorisation"),
            Table("pairs", ("memorisation_pairs.csv",)),
            Figure("sheet", ("memorisation_pairs.png",), caption="memorisation_pairs"),
        ),
        version=4,
        gpu=(devices.runs_generator, devices.runs_radimagenet),
        num_threads=devices.several_if_large,
        room="evaluation.memorisation",
    ),
    Stage(
        "segment_samples",
        ("segment", "evaluate_masks"),
        _of_shard("segment_samples"),
        gpu=(devices.segments_samples,),
        sharded=True,
        each_model=True,
        room="evaluation.masks",
        unread={"evaluate_masks": ("surface_tolerance_mm",)},
    ),
    Stage(
        "measure_masks",
        ("evaluate_masks",),
        _of_shard("measure_masks"),
        sharded=True,
        each_model=True,
        room="evaluation.masks",
        unread={"evaluate_masks": ("structures", "tools")},
    ),
    Stage(
        "evaluate_masks",
        ("evaluate_masks",),
        (
            Table("table", ("mask_agreement.csv",), caption="mask_agreement"),
            Table("cases", ("mask_agreement_cases.csv",)),
        ),
        version=7,
        each_model=True,
        room="evaluation.masks",
        unread={"evaluate_masks": ("surface_tolerance_mm", "tools")},
    ),
    Stage("measure_hu", ("grid",), _of_shard("measure_hu"), sharded=True, each_model=True, room="evaluation.hu"),
    Stage(
        "evaluate_hu",
        ("evaluate_hu",),
        (
            Table("table", ("hu.csv",), caption="hu"),
            Table("cases", ("hu_cases.csv",)),
            Figure("figure", ("hu.png",), caption="hu_figure"),
        ),
        version=3,
        each_model=True,
        room="evaluation.hu",
    ),
    Stage(
        "evaluate_edits",
        ("segment", "sample", "sampling", "evaluate_masks", "evaluate_edits", "inference"),
        (
            File("manifest", ("evaluate_edits/held_out.json",)),
            Table("seeds", ("seeds.csv",), caption="seeds"),
            Table("edits", ("edits.csv",), caption="edits"),
            Table("progressive", ("progressive.csv",), caption="progressive"),
            Figure("seeds_figure", ("seeds.png",), caption="seeds_figure"),
            Figure("edits_figure", ("edits.png",), caption="edits_figure"),
            Figure("progressive_figure", ("progressive.png",), caption="progressive_figure"),
        ),
        version=4,
        gpu=(devices.runs_generator, devices.segments_edits),
        num_threads=devices.several_if_large,
        room="evaluation.control",
    ),
    Stage(
        "evaluate_attention",
        ("sample", "sampling", "evaluate_attention", "inference"),
        (
            File("manifest", ("evaluate_attention/held_out.json",)),
            Table("table", ("attention.csv",), caption="attention"),
            Figure(
                "figure", ("attention.png",), caption="attention_figure", asked_for=outputs.main_model_and_other_gates
            ),
        ),
        version=4,
        gpu=(devices.runs_generator,),
        num_threads=devices.several_if_large,
        each_model=True,
        room="evaluation.control",
    ),
    Stage(
        "evaluate_augmentation",
        ("segment", "sample", "sampling", "evaluate_masks", "evaluate_augmentation", "inference"),
        (
            Table("table", ("augmentation.csv",), caption="augmentation"),
            Table("cases", ("augmentation_cases.csv",)),
            Figure("figure", ("augmentation.png",), caption="augmentation_figure"),
        ),
        version=4,
        gpu=(devices.runs_generator, devices.segments_augmentation),
        num_threads=devices.several_if_large,
        room="evaluation.augmentation",
    ),
    Stage(
        "evaluate_scores",
        ("grid", "evaluate_fid", "evaluate_scores"),
        (
            Table("clip", ("clip_scores.csv",), caption="clip_scores"),
            Table("zero_shot", ("zero_shot.csv",), caption="zero_shot"),
        ),
        version=3,
        gpu=(devices.extracts_itself, devices.asks_model),
        num_threads=devices.several_if_large,
        room="evaluation.text",
    ),
    Stage(
        "evaluate_variants",
        ("flow", "sample", "sampling", "evaluate_variants", "inference"),
        (
            File("manifest", ("evaluate_variants/held_out.json",), asked_for=outputs.if_variants),
            Table("table", ("variants.csv",), caption="variants", asked_for=outputs.if_variants),
            Table("cases", ("variants_cases.csv",), asked_for=outputs.if_variants),
            Figure("figure", ("variants.png",), caption="variants_figure", asked_for=outputs.if_variants),
            Figure("left_out_figure", ("left_out.png",), caption="left_out", asked_for=outputs.if_masks_left_out),
        ),
        version=4,
        gpu=(devices.runs_generator,),
        num_threads=devices.several_if_large,
        room="evaluation.control",
    ),
    Stage(
        "evaluate_tokenizer",
        (),
        (
            Table("images", ("reconstruction.csv",), caption="reconstruction"),
            Table("masks_table", ("mask_reconstruction.csv",), caption="mask_reconstruction"),
        ),
        version=7,
        room="evaluation.tokenizer",
    ),
    Stage(
        "report",
        ("report",),
        (
            Page("page", ("report.html",), caption="page"),
            Table("cases", ("cases.csv",)),
            Table("quarantine", ("quarantine.csv",), caption="quarantine"),
        ),
        version=4,
    ),
)

STAGES: dict[str, Stage] = {stage.name: stage for stage in _ALL}


MACHINE_KEYS: dict[str, frozenset[str]] = {"segment": frozenset({"weights_dir", "python", "device", "time_limit_s"})}
"""Keys of a section that say where and how on this machine, and nothing of what is made."""


def sections_of(config: Config, stage: Stage) -> dict[str, Any]:
    """Return what `stage` reads of its sections, by the names of the configuration file."""
    whole = config.model_dump(mode="json", by_alias=True)
    return {
        name: {key: value for key, value in whole[name].items() if key not in stage.unread.get(name, ())}
        for name in stage.sections
    }


def run_settings(config: Config) -> dict[str, Any]:
    """Return everything of the configuration that decides what a run makes, by section."""
    whole = config.model_dump(mode="json", by_alias=True, exclude={"jobs"})
    for section, keys in MACHINE_KEYS.items():
        whole[section] = {key: value for key, value in whole[section].items() if key not in keys}
    return whole


def stage_params(config: Config, name: str) -> str:
    """Return, as canonical JSON, exactly what decides the output of a stage beside its inputs."""
    stage = STAGES[name]
    return canonical_json({**sections_of(config, stage), "stage": name, "version": stage.version})


def stage_settings(config: Config, name: str) -> str:
    """Return what of `stage_params` decides the bytes of the artefacts: all but where things are on this machine."""
    stage = STAGES[name]
    made_by = {
        section: {key: value for key, value in values.items() if key not in MACHINE_KEYS.get(section, ())}
        for section, values in sections_of(config, stage).items()
    }
    return canonical_json({**made_by, "stage": name, "version": stage.version})


def files_of_run(config: Config) -> list[str]:
    """Return the tables, figures and pages that a run asks for, in the order of the stages."""
    made = (output for stage in STAGES.values() for output in stage.outputs if not isinstance(output, File))
    return [file for output in made for file in _paths(output, config)]


def page_inputs(config: Config, kind: type[Output]) -> list[str]:
    """Return the tables or the figures that the page shows: those with a caption that other stages make."""
    return [
        file
        for stage, output in outputs_with_caption()
        if isinstance(output, kind) and stage.name != "report"
        for file in _paths(output, config)
    ]


def _paths(output: Output, config: Config) -> list[str]:
    return [f"results/{prefix}{file}" for prefix in output.asked_for(config) for file in output.files]


def outputs_with_caption() -> Iterator[tuple[Stage, Output]]:
    """Yield every output with a caption, and its stage."""
    for stage in STAGES.values():
        yield from ((stage, output) for output in stage.outputs if output.caption)


def caption_of(file: Path) -> str:
    """Return the caption of a table, a figure or the page in ``results/``, on one line.

    Raises:
        KeyError: If no stage makes a captioned file of this name.
    """
    for stage, output in outputs_with_caption():
        if file.name in output.files:
            return " ".join(stage.caption_path(output).read_text(encoding="utf-8").split())
    raise KeyError(file.name)
