"""docker-compose.yml and all it mounts, checked without a Docker engine: against the project and the Compose spec."""

import ast
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from prometheus_client.core import Metric
from prometheus_client.metrics import MetricWrapperBase

from pipeline.cli import app
from pipeline.config import Config, load_config
from pipeline.kafka_jars import KAFKA_VERSION
from pipeline.reactions.metrics import Metrics
from pipeline.worker_page import ProcessorCollector

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/dashboards/driftline.json").read_text(encoding="utf-8"))
OWN = [name for name, service in SERVICES.items() if "build" in service]
WORKERS = [name for name in OWN if SERVICES[name]["command"] == ["worker"]]

# The keys of the Compose specification that a service here uses, with the types it allows for them.
SERVICE_KEYS: dict[str, type | tuple[type, ...]] = {
    "build": str,
    "command": list,
    "depends_on": dict,
    "environment": dict,
    "healthcheck": dict,
    "image": str,
    "network_mode": str,
    "pid": str,
    "ports": list,
    "restart": str,
    "stop_grace_period": str,
    "volumes": list,
}

# Exported for a closer look; the dashboard stays a page.
NOT_SHOWN = {
    "driftline_export_series_refused_total",
    "driftline_processor_outputs_total",
    "driftline_processor_restored_ratio",  # of interest during a restore, where /health and the log tell it
    "driftline_processor_restored_records_total",
    "driftline_reactions_total",
    "driftline_webhook_posts_total",
}


def _mounts(name: str) -> Iterator[tuple[str, str]]:
    for volume in SERVICES[name].get("volumes", ()):
        source, target, *mode = volume.split(":")
        assert mode in ([], ["ro"])
        yield source, target


def _ports(name: str) -> dict[int, int]:
    """Ports inside to ports on the machine."""
    ports = {}
    for port in SERVICES[name].get("ports", ()):
        address, outside, inside = port.split(":")
        assert address == "127.0.0.1", "nothing here has a password, so nothing leaves the machine"
        ports[int(inside)] = int(outside)
    return ports


def _config(name: str, monkeypatch: pytest.MonkeyPatch) -> Config:
    for variable in [variable for variable in os.environ if variable.startswith("DRIFTLINE_")]:
        monkeypatch.delenv(variable)
    for variable, value in SERVICES[name].get("environment", {}).items():
        monkeypatch.setenv(variable, value)
    return load_config(DEPLOY / "driftline.toml")


def test_the_services_are_those_that_are_promised() -> None:
    assert list(SERVICES) == ["kafka", "topics", "worker-1", "worker-2", "host-agent", "prometheus", "grafana"]
    assert OWN == ["topics", "worker-1", "worker-2", "host-agent"]
    assert WORKERS == ["worker-1", "worker-2"]


def test_the_file_has_the_shape_that_the_specification_gives_it() -> None:
    assert {key for key in COMPOSE if not key.startswith("x-")} == {"name", "services", "volumes"}
    for name, service in SERVICES.items():
        assert re.fullmatch(r"[a-z0-9-]+", name)
        assert service.keys() <= SERVICE_KEYS.keys(), name
        for key, value in service.items():
            assert isinstance(value, SERVICE_KEYS[key]), f"{name}.{key}"
        assert service["restart"] in {"no", "unless-stopped"}
        # Compose takes strings and numbers; YAML's own booleans are refused.
        assert all(isinstance(value, str) for value in service.get("environment", {}).values()), name
        assert ("network_mode" in service) <= ("ports" not in service), "the host's network publishes no ports"


def test_dependencies_name_services_and_conditions_that_can_come_true() -> None:
    for name, service in SERVICES.items():
        for other, dependency in service.get("depends_on", {}).items():
            assert dependency.keys() == {"condition"}
            match dependency["condition"]:
                case "service_healthy":
                    assert "healthcheck" in SERVICES[other], f"{name} waits for {other}, which has no health"
                case "service_completed_successfully":
                    assert SERVICES[other]["restart"] == "no", f"{name} waits for the end of {other}, which restarts"
                case condition:
                    pytest.fail(f"{name}: {condition}")
    order: list[str] = []
    while len(order) < len(SERVICES):
        ready = [n for n, s in SERVICES.items() if n not in order and set(s.get("depends_on", ())) <= set(order)]
        assert ready, "the services wait for each other"
        order += ready


def test_every_mounted_file_exists_and_every_volume_is_declared() -> None:
    used = set()
    for name in SERVICES:
        for source, target in _mounts(name):
            assert target.startswith("/")
            if source.startswith("./"):
                assert (ROOT / source).exists(), f"{name}: {source}"
            else:
                used.add(source)
    assert used == set(COMPOSE["volumes"])


def test_every_command_is_one_of_driftlines() -> None:
    for name in OWN:
        command: Any = typer.main.get_command(app)
        words = list(SERVICES[name]["command"])
        while hasattr(command, "commands"):
            word = words.pop(0)
            assert word in command.commands, f"{name}: driftline has no command {word!r}"
            command = command.commands[word]
        # Parsing refuses unknown options and wrong arguments, and calls nothing.
        command.make_context("driftline", words)


def test_the_environment_sets_keys_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {_config(name, monkeypatch).worker.name for name in WORKERS}
    assert names == set(WORKERS), "each worker has its own name"
    monkeypatch.setenv("DRIFTLINE_WORKER__NAMES", "typo")
    with pytest.raises(Exception, match="names"):
        load_config(DEPLOY / "driftline.toml")


def test_each_process_finds_kafka_where_it_is_announced_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = SERVICES["kafka"]["environment"]
    announced = dict(entry.split("://") for entry in kafka["KAFKA_ADVERTISED_LISTENERS"].split(","))
    listening = {
        listener: int(address.removeprefix(":"))
        for listener, address in (entry.split("://") for entry in kafka["KAFKA_LISTENERS"].split(","))
    }
    security = dict(entry.split(":") for entry in kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    assert listening.keys() == security.keys() == announced.keys() | {kafka["KAFKA_CONTROLLER_LISTENER_NAMES"]}
    assert kafka["KAFKA_INTER_BROKER_LISTENER_NAME"] in announced
    node, voter = kafka["KAFKA_CONTROLLER_QUORUM_VOTERS"].split("@")
    assert node == kafka["KAFKA_NODE_ID"]
    assert voter == f"kafka:{listening[kafka['KAFKA_CONTROLLER_LISTENER_NAMES']]}"
    for name in OWN:
        on_host = SERVICES[name].get("network_mode") == "host"
        servers = _config(name, monkeypatch).kafka.bootstrap_servers
        assert servers == announced["HOST" if on_host else "INSIDE"]
        host, port = servers.split(":")
        inside = _ports("kafka") if on_host else {listening["INSIDE"]: listening["INSIDE"]}
        assert host == ("localhost" if on_host else "kafka")
        assert int(port) in inside.values()
    for _, target in _mounts("kafka"):
        assert target == kafka["KAFKA_LOG_DIRS"], "what the broker keeps outlives its container"
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}", "the same Kafka as the local broker's"


def test_ports_are_consistent(monkeypatch: pytest.MonkeyPatch) -> None:
    outside = [port for name in SERVICES for port in _ports(name).values()]
    assert len(outside) == len(set(outside)), "two services publish one port"
    for name in WORKERS:
        config = _config(name, monkeypatch).worker
        assert config.web_host == "0.0.0.0", "Prometheus comes from another container"
        assert list(_ports(name)) == [config.web_port]


def test_workers_are_healthy_by_their_own_page(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WORKERS:
        kind, python, flag, code = SERVICES[name]["healthcheck"]["test"]
        assert (kind, python, flag) == ("CMD", "python", "-c")
        ast.parse(code)
        port = _config(name, monkeypatch).worker.web_port
        assert f"'http://127.0.0.1:{port}/health'" in code
    assert '"/health"' in _sources("worker*.py", "web*.py"), "the worker serves no /health"


def test_the_healthchecks_of_others_call_what_their_images_have() -> None:
    known = {
        ("kafka", 9092): "/opt/kafka/bin/kafka-broker-api-versions.sh --bootstrap-server localhost:9092",
        ("prometheus", 9090): "wget -q -O /dev/null http://127.0.0.1:9090/-/healthy",
        ("grafana", 3000): "wget -q -O /dev/null http://127.0.0.1:3000/api/health",
    }
    for (name, port), line in known.items():
        assert SERVICES[name]["healthcheck"]["test"] == ["CMD", *line.split()]
        assert port in _ports(name)


def test_the_image_is_built_from_files_that_exist_and_are_sent() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]
    sent = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), f"COPY {source}"
        assert f"!{source}" in sent, f".dockerignore keeps {source} away"
    workdir = [line.split()[1] for line in lines if line.startswith("WORKDIR ")][-1]
    user = [line.split()[1] for line in lines if line.startswith("USER ")][-1]
    assert user not in {"root", "0"}
    assert 'ENTRYPOINT ["driftline"]' in lines
    for name in OWN:
        targets = dict(_mounts(name))
        assert targets["./deploy/driftline.toml"] == f"{workdir}/driftline.toml", "where commands look for it"


def test_prometheus_scrapes_every_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    (job,) = yaml.safe_load((DEPLOY / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    expected = [f"{name}:{_config(name, monkeypatch).worker.web_port}" for name in WORKERS]
    assert [target for static in job["static_configs"] for target in static["targets"]] == expected
    assert f'"{job["metrics_path"]}"' in _sources("worker*.py", "web*.py"), "the worker serves no such page"
    assert ("./deploy/prometheus.yml", "/etc/prometheus/prometheus.yml") in _mounts("prometheus")


def test_grafana_finds_its_datasource_and_dashboard() -> None:
    mounts = {target: ROOT / source for source, target in _mounts("grafana") if source.startswith("./")}
    (datasource,) = _yaml(mounts["/etc/grafana/provisioning/datasources"], "prometheus.yml")["datasources"]
    (provider,) = _yaml(mounts["/etc/grafana/provisioning/dashboards"], "driftline.yml")["providers"]
    assert (mounts[provider["options"]["path"]] / "driftline.json").exists()
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (mounts[str(home.parent)] / home.name).exists()
    service, port = re.fullmatch(r"http://([a-z]+):(\d+)", datasource["url"]).groups()  # type: ignore[union-attr] # no match fails the test
    assert int(port) in _ports(service)
    uids = {source["uid"] for source in _find(DASHBOARD, "datasource")}
    assert uids == {datasource["uid"]}


def test_the_dashboard_asks_for_metrics_and_labels_that_are_exported() -> None:
    declared = _declared()
    asked: set[str] = set()
    queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    queries += [variable["query"]["query"] for variable in _variables() if variable["type"] == "query"]
    for query in queries:
        names = set(re.findall(r"driftline_\w+", query))
        assert len(names) == 1, query
        (name,) = names
        assert name in declared, query
        asked.add(name)
        used = re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)\s*\"", query)
        used += [label.strip() for group in re.findall(r"\bby \(([^)]*)\)", query) for label in group.split(",")]
        used += re.findall(r"^label_values\(.*, (\w+)\)$", query)
        assert set(used) <= declared[name], query
        assert query.count("(") == query.count(")")
        assert query.count("{") == query.count("}")
    assert asked == declared.keys() - NOT_SHOWN, "a metric that nobody sees"


def test_the_dashboards_legends_and_variables_exist() -> None:
    declared = _declared()
    variables = {variable["name"] for variable in _variables()}
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            (name,) = set(re.findall(r"driftline_\w+", target["expr"]))
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= declared[name]
            assert set(re.findall(r"\$(\w+)", target["expr"])) <= variables


def test_the_dashboards_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


def _declared() -> dict[str, set[str]]:
    """Every exported metric with its labels, as Prometheus sees it."""
    declared: dict[str, set[str]] = {}
    for collector in Metrics().registry._collector_to_names:
        assert isinstance(collector, MetricWrapperBase)
        for family in collector.describe():
            declared[_exposed(family)] = set(collector._labelnames)
    for family in ProcessorCollector(lambda: ()).collect():
        declared[_exposed(family)] = set(family._labelnames)  # type: ignore[attr-defined] # set by every family's class
    return declared


def _exposed(family: Metric) -> str:
    return family.name + ("_total" if family.type == "counter" else "")


def _sources(*patterns: str) -> str:
    files = {file for pattern in patterns for file in (ROOT / "pipeline").rglob(pattern)}
    return "\n".join(file.read_text(encoding="utf-8") for file in sorted(files))


def _variables() -> list[dict[str, Any]]:
    variables: list[dict[str, Any]] = DASHBOARD["templating"]["list"]
    return variables


def _yaml(folder: Path, name: str) -> Any:
    return yaml.safe_load((folder / name).read_text(encoding="utf-8"))


def _find(value: Any, key: str) -> Iterator[Any]:
    """Every value of a key, at any depth."""
    if isinstance(value, dict):
        if key in value:
            yield value[key]
        for inner in value.values():
            yield from _find(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _find(inner, key)
