"""Publishers that are killed in mid-batch: what they were told is acknowledged counts, and nothing counts twice.

Run as a program, this file is such a publisher: it logs rows until it is killed, and after each flush says on its
standard output up to which number its rows are acknowledged, and the time its rows have reached.
"""

import subprocess
import sys
import time
from collections import Counter

import orjson

from pipeline import Publisher
from pipeline.processes import tied_command
from tests.faults.outcome import Reader
from tests.faults.rounds import Round
from tests.faults.settings import PROJECT
from tests.faults.traffic import closing

_BATCH = 200
_STEP_MS = 400


def kill_publishers(here: Round) -> None:
    """One publisher after another is killed by SIGKILL while it sends."""
    here.fleet.start("a")
    here.fleet.start("b")
    acknowledged: set[str] = set()
    now_ms = here.start_ms
    for number in range(max(1, round(8 * here.amount))):
        command = [sys.executable, "-m", "tests.faults.publishers"]
        command += [here.broker.bootstrap_servers, here.config.kafka.topic_prefix, f"{number}-", str(now_ms)]
        with subprocess.Popen(tied_command(command), stdout=subprocess.PIPE, text=True, cwd=PROJECT) as process:
            assert process.stdout is not None
            process.stdout.readline()  # it is connected and has sent its first batch
            here.sleep(0.5, 3)
            process.kill()
            told = process.stdout.read().splitlines()
        if told:
            count, now_ms = (int(word) for word in told[-1].split())
            acknowledged |= {f"{number}-{row}" for row in range(count)}
        now_ms += 2 * _STEP_MS  # rows that were sent and never acknowledged may be newer
        here.tries += 1
    here.sender.send(closing(now_ms))
    here.sender.flush()
    here.progress.start()
    reader, sent = Reader(here.config, "predictions"), Counter[str]()
    for message in reader.to_the_end():
        ids = orjson.loads(message.value() or b"")["prediction_id"]
        sent.update(ids if isinstance(ids, list) else [ids])
    reader.close()
    here.faults += [f"{row} was acknowledged and is not there" for row in acknowledged if not sent[row]]
    here.faults += [f"{row} is there {count} times" for row, count in sent.items() if count > 1 and row[0].isdigit()]
    here.notes.append(f"{len(acknowledged):,} rows acknowledged")


def main() -> None:
    address, prefix, name, start = sys.argv[1:]
    with Publisher(address, topic_prefix=prefix, linger_ms=5, on_overflow="block", block_timeout_s=5) as publisher:
        count, now_ms = 0, int(start)
        while True:
            rows = range(count, count + _BATCH)
            ids = [f"{name}{row}" for row in rows]
            times = [now_ms + (row - count) * _STEP_MS // _BATCH for row in rows]
            half = _BATCH // 2
            publisher.log_predictions(
                model="fraud", model_version="1", task="binary", prediction_id=ids[:half],
                timestamp_ms=times[:half], prediction=[row % 2 for row in rows][:half], latency_ms=[1.5] * half,
            )  # fmt: skip
            for row, at_ms in zip(ids[half:], times[half:], strict=True):
                publisher.log_prediction(
                    model="fraud", model_version="1", task="binary", prediction=1, prediction_id=row, timestamp_ms=at_ms
                )
            for row, at_ms in zip(ids, times, strict=True):
                publisher.log_label(model="fraud", prediction_id=row, label=1, timestamp_ms=at_ms)
            count, now_ms = count + _BATCH, now_ms + _STEP_MS
            if count % (3 * _BATCH) == 0 and publisher.flush(10):
                print(count, now_ms, flush=True)  # noqa: T201 - its way to tell
            time.sleep(0.01)


if __name__ == "__main__":
    main()
