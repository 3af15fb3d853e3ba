"""What the suite sends as broken is broken by the auditor's reading too."""

import random
from collections import defaultdict

from tests.audit.rows import Record, read_rows
from tests.faults.broken_rows import broken_records
from tests.faults.traffic import BROKEN


def test_no_broken_record_is_an_event() -> None:
    log = defaultdict(list)
    for offset, broken in enumerate(broken_records(random.Random(1), 5_000)):
        log[broken.topic, 0].append(Record(offset, None, broken.value, broken.headers))
    log["predictions", 0] += [Record(5_000 + offset, None, value) for offset, value in enumerate(BROKEN)]
    read = [read_rows(log, topic, 0) for topic in ("predictions", "labels", "resources")]
    assert [good for good, _ in read] == [[], [], []]
    assert sum(len(bad) for _, bad in read) == 5_000 + len(BROKEN)
