# The workflow is in workflow/Snakefile; this file is here so that `snakemake` finds it and its profile.


include: "workflow/Snakefile"
