# MedSyn2: from chest CTs and radiology reports to a controllable generator and its evaluation.
#
#   snakemake --cores 8 all                  everything, ends in results/report.html
#   snakemake --cores 8 results/fid_lung.csv what one table needs
#   snakemake -n --cores 8 all               what would run, and why
#
# The stages are listed in medsyn2/stages/__init__.py, the settings in config.yaml. No logic lives here.
from snakemake.utils import min_version

min_version("9.20")


configfile: "config.yaml"


include: "workflow/rules/common.smk"


rule all:
    default_target: True
    input:
        "results/report.html",
        FID_TABLES,
        FID_FIGURES,
        MEMORISATION_TABLES,
        MEMORISATION_FIGURES,
        AGREEMENT_TABLES,
        EDITS_TABLES,
        EDITS_FIGURES,
        ATTENTION_TABLES,
        ATTENTION_FIGURES,
        AUGMENTATION_TABLES,
        AUGMENTATION_FIGURES,
        SCORE_TABLES,
        VARIANTS_TABLES,
        VARIANTS_FIGURES,
        UNGATED_FIGURES,
        RECONSTRUCTION_TABLES,


include: "workflow/rules/cohort.smk"
include: "workflow/rules/registration.smk"
include: "workflow/rules/masks.smk"
include: "workflow/rules/tokenizer.smk"
include: "workflow/rules/text.smk"
include: "workflow/rules/dit.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/variants.smk"
include: "workflow/rules/report.smk"
