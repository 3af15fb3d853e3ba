"""Where logs end, asked of a broker that was killed and started again."""

import os
import signal
from pathlib import Path

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from pipeline.core.errors import RetriableError
from pipeline.engine.changelog import end_offsets
from pipeline.local_broker import BrokerOptions, LocalBroker
from tests.conftest import Eventually
from tests.free_ports import free_port


def test_a_new_leader_epoch_is_learned_after_one_refusal(tmp_path: Path, eventually: Eventually) -> None:
    """librdkafka asks with the epoch that it knows, and does not learn a new one from being refused for it."""
    with LocalBroker(BrokerOptions(data_dir=tmp_path, port=free_port(), heap_mb=256)) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
        admin.create_topics([NewTopic("t", 2, 1)])["t"].result()
        places = [TopicPartition("t", partition) for partition in range(2)]
        refusals: list[str] = []

        def asked() -> dict[tuple[str, int], int] | None:
            try:
                return end_offsets(admin, places)
            except RetriableError as error:
                refusals.append(str(error))
                return None

        eventually(asked)
        os.kill(broker.pid, signal.SIGKILL)
        broker.wait(10)
        broker.start()
        refusals.clear()
        assert eventually(asked) == {("t", 0): 0, ("t", 1): 0}
        # What else is wrong in the first moment after a start is told before, and cured by the same.
        assert sum("FENCED_LEADER_EPOCH" in refusal for refusal in refusals) <= 1, refusals
