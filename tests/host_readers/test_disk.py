from typing import Any

import pytest

from pipeline.host_readers.disk import DiskReader
from pipeline.host_readers.reader import Notices


def _mount(device: str, mountpoint: str, opts: str = "rw") -> dict[str, str]:
    return {"device": device, "mountpoint": mountpoint, "fstype": "ext4", "opts": opts}


def _space(used: int, free: int) -> dict[str, Any]:
    return {"total": used + free, "used": used, "free": free, "percent": 0.0}


def test_the_recorded_machine(source: Any, notices: Notices) -> None:
    reader = DiskReader(source, notices)
    used, free = 13_474_111_488, 84_319_182_848
    assert reader.read(0) == {
        "disk.root.used_bytes": used,
        "disk.root.free_bytes": free,
        "disk.root.used_ratio": pytest.approx(used / (used + free)),
        "disk.used_ratio": pytest.approx(used / (used + free)),
    }
    source.later()
    metrics = reader.read(5_000)
    assert metrics["disk.write_bytes_per_s"] == pytest.approx((1_735_110_656 - 1_734_983_680) / 5)
    assert metrics["disk.writes_per_s"] == pytest.approx((17_158 - 17_102) / 5)
    assert metrics["disk.read_bytes_per_s"] == 0
    assert metrics["disk.reads_per_s"] == 0


def test_every_writable_device_once_and_the_fullest(source: Any, notices: Notices) -> None:
    source.now["disk_partitions"] += [
        _mount("/dev/vdb", "/var/lib/models"),
        _mount("/dev/vdb", "/mnt/again"),
        _mount("/dev/loop3", "/snap/core", "ro,nodev"),
        _mount("/dev/vdc", "/etc/hosts"),
    ]
    source.now["disk_usage"]["/var/lib/models"] = _space(90, 10)
    metrics = DiskReader(source, notices).read(0)
    assert metrics["disk.var_lib_models.used_ratio"] == 0.9
    assert metrics["disk.used_ratio"] == 0.9
    assert {name.split(".")[1] for name in metrics if name.endswith("free_bytes")} == {"root", "var_lib_models"}


def test_in_a_container_the_root_is_no_partition(source: Any, notices: Notices) -> None:
    source.now["disk_partitions"] = [_mount("/dev/vda", "/etc/resolv.conf")]
    assert "disk.root.used_ratio" in DiskReader(source, notices).read(0)


def test_a_mount_that_may_not_be_read_is_absent_alone(
    source: Any, notices: Notices, caplog: pytest.LogCaptureFixture
) -> None:
    source.now["disk_partitions"].append(_mount("/dev/vdb", "/secret"))
    source.now["disk_usage"]["/secret"] = PermissionError("/secret")
    reader = DiskReader(source, notices)
    for now_ms in (0, 1):
        assert "disk.root.used_ratio" in reader.read(now_ms)
    assert caplog.messages == ["no disk.secret.used_bytes: PermissionError: /secret"]


def test_a_host_without_disk_counters(source: Any, notices: Notices) -> None:
    source.now["disk_io_counters"] = None
    reader = DiskReader(source, notices)
    reader.read(0)
    assert not any(name.endswith("_per_s") for name in reader.read(1_000))


def test_mounts_are_limited(source: Any, notices: Notices, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(100):
        source.now["disk_partitions"].append(_mount(f"/dev/sd{number}", f"/mnt/{number}"))
        source.now["disk_usage"][f"/mnt/{number}"] = _space(1, 1)
    assert sum(name.endswith("free_bytes") for name in DiskReader(source, notices).read(0)) == 32
    assert caplog.messages == ["no further disks: only the first 32 file systems are read"]
