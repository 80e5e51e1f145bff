"""The embedded cohort: procedural thoraces with reports, labels and ground truth, on any grid.

``subject`` draws a patient, ``rendering`` paints it, ``scanner`` scans it, ``reports`` writes its report.
"""

from medsyn2.phantoms.lesions import Demand, Lesions
from medsyn2.phantoms.rendering import Phantom, render
from medsyn2.phantoms.reports import Report, describe, labels_of
from medsyn2.phantoms.scanner import Acquisition, draw_acquisition, scan, write_scan, write_truth
from medsyn2.phantoms.subject import Incidental, Subject, draw_subject, stream

__all__ = [
    "Acquisition",
    "Demand",
    "Incidental",
    "Lesions",
    "Phantom",
    "Report",
    "Subject",
    "describe",
    "draw_acquisition",
    "draw_subject",
    "labels_of",
    "render",
    "scan",
    "stream",
    "write_scan",
    "write_truth",
]
