from typing import Any

from pipeline.host_readers.network import NetworkReader
from pipeline.host_readers.reader import Notices


def test_the_recorded_machine_was_quiet_but_for_its_loopback(source: Any, notices: Notices) -> None:
    reader = NetworkReader(source, notices)
    assert reader.read(0) == {}
    source.later()
    assert reader.read(5_000) == {
        "network.received_bytes_per_s": 0,
        "network.sent_bytes_per_s": 0,
        "network.errors_per_s": 0,
        "network.drops_per_s": 0,
    }


def test_traffic_is_summed_over_the_hosts_own_interfaces(source: Any, notices: Notices) -> None:
    interfaces = source.now["net_io_counters"]
    for name in ("eth1", "docker0", "veth12ab", "br-77"):
        interfaces[name] = dict(interfaces["eth0"])
    reader = NetworkReader(source, notices)
    reader.read(0)
    for counters in interfaces.values():
        counters["bytes_recv"] += 3_000
        counters["errin"] += 1
        counters["errout"] += 2
        counters["dropout"] += 5
    metrics = reader.read(1_000)
    assert metrics["network.received_bytes_per_s"] == 6_000
    assert metrics["network.errors_per_s"] == 6
    assert metrics["network.drops_per_s"] == 10


def test_interfaces_come_go_and_reset_without_a_spike(source: Any, notices: Notices) -> None:
    interfaces = source.now["net_io_counters"]
    interfaces["wlan0"] = dict(interfaces["eth0"])
    reader = NetworkReader(source, notices)
    reader.read(0)
    del interfaces["wlan0"]
    interfaces["usb0"] = dict(interfaces["eth0"])
    interfaces["eth0"]["bytes_sent"] += 10
    interfaces["eth0"]["bytes_recv"] = 0
    metrics = reader.read(1_000)
    assert metrics["network.sent_bytes_per_s"] == 10
    assert "network.received_bytes_per_s" not in metrics


def test_no_permission_no_metric(source: Any, notices: Notices) -> None:
    source.now["net_io_counters"] = PermissionError("/proc/net/dev")
    assert NetworkReader(source, notices).read(0) == {}
