"""The rows of the table of reliability (``benchmarks/faults.py``)."""

from .damage import cut_files, flip_bits
from .folders import copy_scans, divide_patients
from .names import name_hostilely
from .row import Row
from .slices import displace_slices
from .stops import fill_disk, kill_stages, kill_trainings, limit_memory, run_twice
from .surroundings import coarsen_times, cut_network
from .tables import break_tables, write_oddly
from .volumes import cut_fields, pad_cts, turn_cohorts
from .whole import kill_runs, share_folder

ROWS: dict[str, Row] = {
    "R1": Row("A stage that is killed ends with the same bytes when it runs again", "stages", kill_stages),
    "R2": Row("A training that is killed again and again ends with the same bytes", "trainings", kill_trainings),
    "R3": Row(
        "A flipped bit in a file that a stage reads is seen, and the remedy heals it", "kinds of files", flip_bits
    ),
    "R4": Row("A cut of a file that a stage reads is seen, and the remedy heals it", "kinds of files", cut_files),
    "R5": Row("A full disk is named with the file, and costs nothing but time", "stages", fill_disk),
    "R6": Row("The end of the memory is named, and costs nothing but time", "stages", limit_memory),
    "R7": Row("A job that is started twice at once ends twice, with the same bytes", "stages", run_twice),
    "R8": Row("A second run in a folder shares the work, or is refused and names the first", "ways", share_folder),
    "R9": Row("Names of files and folders are taken as they are, or refused by name", "kinds of names", name_hostilely),
    "R10": Row("No report goes to another case, however its table is broken", "kinds of damage", break_tables),
    "R11": Row("No stage asks for a network", "stages and the workflow", cut_network),
    "R12": Row("Where times are coarse, the bytes tell what has changed", "kinds of files", coarsen_times),
    "R13": Row("A cohort that lies otherwise than its headers say is stopped, no other", "orientations", turn_cohorts),
    "R14": Row("Padding and resampling cost neither the CT nor its HU and lungs", "ways", pad_cts),
    "R15": Row("A small field of view costs neither the CT nor its HU and lungs", "fields of view", cut_fields),
    "R16": Row("A scan that is there twice is no second scan", "ways", copy_scans),
    "R17": Row("No patient is trained on and held out", "kind of folder", divide_patients),
    "R18": Row("Odd tables are read as they are meant", "kinds of tables", write_oddly),
    "R19": Row("A whole run that is killed again and again ends with the same bytes", "workflow", kill_runs),
    "R20": Row("Displaced and blurred slices are warned of, sound ones are not", "ways", displace_slices),
}
