"""R3, R4: flipped bits and cuts in every file that a finished run has read.

In each trial one file is damaged and one stage that reads it runs again, forced. It must say so in one line with a
code, or make the file again, or end with the bytes of the undisturbed run because the damage means nothing (a space
between two values of a JSON file). Where it says so, the command of its remedy is followed: the file that it names is
removed, the job that makes it runs again, and the bytes must be those from before.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from .run import Ended, Finished, Job, Row, changes, files_read, run, tree_of

Damage = Callable[[bytes, random.Random], bytes]
_REMEDY = re.compile(r"`rm ([^`]+)`")


def flip(content: bytes, draw: random.Random) -> bytes:
    """Flip one bit."""
    place = draw.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]


def cut(content: bytes, draw: random.Random) -> bytes:
    """Cut the file somewhere."""
    return content[: draw.randrange(len(content))]


def readers_of(finished: Finished, say: Callable[[str], object]) -> dict[str, list[Job]]:
    """Return the jobs that read each file below ``results``."""
    found: dict[str, list[Job]] = defaultdict(list)
    for job in finished.jobs:
        say(f"watching {job.name}")
        for name in files_read(job, finished.copy):
            if name in finished.tree:
                found[name].append(job)
        finished.restore()
    return found


def damage_row(
    name: str,
    promise: str,
    damage: Damage,
    count: int,
    finished: Finished,
    readers: dict[str, list[Job]],
    seed: int,
    say: Callable[[str], object],
) -> Row:
    """Damage files in `count` trials."""
    draw, tally = random.Random(f"{name} {seed}"), Counter[str]()
    kinds = _by_kind(sorted(readers))
    for number in range(count):
        # Every kind of file is as likely, or latents and masks would be nearly all.
        file = draw.choice(kinds[draw.choice(sorted(kinds))])
        job = draw.choice(readers[file])
        outcome, ended = _trial(finished, file, job, damage, draw)
        tally[outcome] += 1
        say(f"{name} {number + 1}/{count}: {file}, read by {job.name}: {outcome} {ended.code}")
        if outcome in BROKEN:
            say(ended.text[-1500:])
        finished.restore()
    result = ", ".join(
        f"{tally[outcome]} {outcome}" for outcome in (*KEPT, *BROKEN) if tally[outcome] or outcome in BROKEN
    )
    return Row(name, promise, count, result, not any(tally[outcome] for outcome in BROKEN))


KEPT = ("named and healed by the remedy", "made again", "without effect", "a case refused by name")
BROKEN = ("silent", "raw", "not healed")


def _trial(finished: Finished, file: str, job: Job, damage: Damage, draw: random.Random) -> tuple[str, Ended]:
    path = finished.copy / file
    content = path.read_bytes()
    if not content:
        return "without effect", Ended(0, "")
    path.write_bytes(damage(content, draw))
    ended = run(job, finished.copy)
    differing = changes(finished.tree, tree_of(finished.copy))
    if ended.status == 0 and not ended.has_traceback:
        if not differing:
            return "made again", ended
        if differing == [file]:
            return "without effect", ended
        return ("a case refused by name" if "goes to quarantine" in ended.text else "silent"), ended
    if not ended.is_named:
        return "raw", ended
    return _follow_remedy(finished, job, ended), ended


def _follow_remedy(finished: Finished, job: Job, ended: Ended) -> str:
    """Do as the message says, several times if the job finds several, and compare the bytes."""
    for _ in range(3):
        named = _REMEDY.search(ended.text)
        if named is None:
            return "not healed"
        place = Path(named[1])
        relative = place.relative_to(finished.copy).as_posix() if place.is_absolute() else named[1]
        (finished.copy / relative).unlink(missing_ok=True)
        maker = finished.make_of(relative)
        if maker is not None and maker != job:
            run(maker, finished.copy)
        ended = run(job, finished.copy)
        if ended.status == 0:
            return "not healed" if changes(finished.tree, tree_of(finished.copy)) else "named and healed by the remedy"
    return "not healed"


def _by_kind(files: Sequence[str]) -> dict[str, list[str]]:
    """Group files that differ in their shard, case or hash alone."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for file in files:
        kinds[re.sub(r"\d{4}|phantom_\d+|[0-9a-f]{8,}", "*", file)].append(file)
    return kinds
