"""Wording that several tests look for, once: who edits one of these messages edits one line here.

Wording that a single test looks for stands in that test; ``test_wording.py`` guards both.
"""

BUSY = "another process is writing there"
DRAWING_ENDED = "a process that draws people ended"
EXPECTED_BOARD = "--device user@host"
EXPECTED_CSV = "expected a .csv file"
NO_EPOCH = "no epoch was trained"
NOTHING_TO_COMPARE = "nothing to compare"
NO_CPU = "no CPU can run it"
ONE_SIDE_ONLY = "one side only"
OTHER_ARGUMENTS = "holds a data set made with other arguments"
PER_CHANNEL_DENSE = "one constant for every output"
SETTINGS_STAY = "a resumed run keeps its settings"
TRUNCATED_JPEG = "truncated JPEG"
UNFINISHED_TUNING = "holds an unfinished fine-tuning"
VALIDATION_NME = "validation NME"
DETECTOR_BOXES = "--boxes detector"
