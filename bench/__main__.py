"""``make bench``: the join + 1-minute-window job, ours and the peers', beside a bare consume-and-decode loop."""

import argparse
import subprocess
import sys
from collections.abc import Sequence

from rich.console import Console

from bench.peers.bytewax import Bytewax
from bench.peers.flink import FlinkSql
from bench.peers.peer import MissingError, Peer, Say
from bench.peers.quix import QuixStreams
from bench.peers.streams import KafkaStreams
from bench.report import machine, rows_of, save, table_of
from bench.rounds import PARTITIONS, Plan, run_rounds

_PEERS: dict[str, tuple[list[Peer], list[Peer]]] = {
    "none": ([], []),
    "streams": ([KafkaStreams()], []),
    "all": ([KafkaStreams(), FlinkSql()], [QuixStreams(), Bytewax()]),
}


def present(peers: Sequence[Peer], say: Say) -> list[Peer]:
    """The peers that can run here; of the others it is said what they lack."""
    found = []
    for peer in peers:
        try:
            peer.prepare(say)
        except (MissingError, subprocess.SubprocessError) as error:
            say(f"{peer.name} is left out: {error}")
        else:
            found.append(peer)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="predictions, and as many labels, one a record")
    parser.add_argument("--batch-events", type=int, default=4_000_000, help="the same in columnar records of 1,000")
    parser.add_argument(
        "--slow-events", type=int, default=100_000, help="the same, one a record, for Quix Streams and Bytewax"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", choices=_PEERS, default="streams", help="streams: Kafka Streams alone")
    arguments = parser.parse_args()
    console = Console()
    console.width = max(console.width, 160)  # the table is for reading, also in a log

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False)

    quick, slow = (present(peers, say) for peers in _PEERS[arguments.peers])
    plan = Plan(arguments.events, arguments.batch_events, arguments.slow_events, arguments.rounds, quick, slow)
    host = machine()
    runs = run_rounds(plan, say)
    console.print(table_of(rows_of(runs)))
    settings = dict(vars(arguments)) | {"partitions": PARTITIONS}
    say(f"{host}\nWritten to {save(runs, settings, host)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
