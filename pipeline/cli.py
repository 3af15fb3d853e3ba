"""The command ``driftline``: options in, one function called, exit code out (0 done, 1 failed, 2 wrong usage)."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.core.durations import parse_duration_ms
from pipeline.core.errors import ConfigError, ConfigFault, DriftlineError
from pipeline.processes import end_on_signals

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.local_broker import BrokerOptions

EXIT_FAILED = 1
EXIT_USAGE = 2

_LASTING = {"up", "worker", "host-agent", "broker"}  # run until a signal stops them

_HELP = """Watch deep-learning models in production: join predictions with labels that come later, compute quality,
latency and drift a window, raise alerts and retrain triggers. All on Kafka, exactly once.

\b
See it work, nothing else needed:
  driftline demo --duration 60s

\b
On this machine, with your own model server:
  driftline up                          local Kafka, topics, worker, host agent
  driftline alerts --follow             in another terminal

\b
On a cluster, in this order:
  driftline check-config --config driftline.toml
  driftline topics create --config driftline.toml
  driftline worker --config driftline.toml       as many as you like, each with its own --name
  driftline host-agent --config driftline.toml   on every machine that serves
  driftline metrics --config driftline.toml

Without --config, ./driftline.toml is read where it exists. Environment variables DRIFTLINE_<SECTION>__<KEY> win over
the file, options win over both. Exit codes: 0 done, 1 failed at run time, 2 wrong usage or configuration.
"""

app = typer.Typer(
    help=_HELP,
    context_settings={"max_content_width": 110},
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
topics_app = typer.Typer(help="Create Driftline's topics, or check those that exist.", no_args_is_help=True)
reference_app = typer.Typer(help="Make what drift is measured against.", no_args_is_help=True)
app.add_typer(topics_app, name="topics")
app.add_typer(reference_app, name="reference")

ConfigPath = Annotated[
    Path | None, typer.Option("--config", help="The configuration file.", show_default="./driftline.toml if it exists")
]
Servers = Annotated[
    str | None, typer.Option("--bootstrap-servers", help="Kafka's address, before [kafka] bootstrap_servers.")
]
DataDir = Annotated[Path, typer.Option("--data-dir", help="Where the local broker keeps everything.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65_535, help="The local broker's port; 0 takes a free one.")]
HeapMb = Annotated[int, typer.Option("--heap-mb", min=1, help="The local broker's Java heap, in mebibytes.")]
RetentionHours = Annotated[
    int, typer.Option("--retention-hours", min=1, help="How long topics keep records, where no other rule holds.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")]

DEFAULT_DATA_DIR = Path(".driftline/broker")


@app.command()
def up(
    config: ConfigPath = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    port: Port = 9092,
    heap_mb: HeapMb = 512,
    retention_hours: RetentionHours = 168,
) -> None:
    """Run everything on this machine: Kafka, topics, worker and host agent; Ctrl-C ends all."""
    from pipeline.up import UpOptions, run_up

    loaded = _load(config, None)
    broker = _broker_options(data_dir, port, heap_mb, retention_hours, loaded.kafka.partitions)
    _end(run_up(loaded, UpOptions(broker=broker, config_path=config), _say))


@app.command()
def worker(
    config: ConfigPath = None,
    bootstrap_servers: Servers = None,
    name: Annotated[str | None, typer.Option(help="This worker's stable name, one a worker.")] = None,
    roles: Annotated[str | None, typer.Option(help="Some of joiner,monitor,reactions.")] = None,
    web_port: Annotated[int | None, typer.Option(help="Port of /health and /metrics; 0 takes a free one.")] = None,
) -> None:
    """Run a worker: joins, windows, rules, reactions. Start more of them to scale out."""
    chosen = None if roles is None else tuple(role.strip() for role in roles.split(","))
    loaded = _load(config, bootstrap_servers, worker={"name": name, "roles": chosen, "web_port": web_port})
    from pipeline.worker import run_worker

    _end(run_worker(loaded))


@app.command("host-agent")
def host_agent(
    config: ConfigPath = None,
    bootstrap_servers: Servers = None,
    pid: Annotated[list[int] | None, typer.Option(help="A process to watch; may be given several times.")] = None,
    process_name: Annotated[list[str] | None, typer.Option(help="Processes to watch by name; likewise.")] = None,
    interval: Annotated[str | None, typer.Option(help="How often to read, e.g. 5s.")] = None,
    host: Annotated[str | None, typer.Option(help="This machine's name in the events, before its own.")] = None,
) -> None:
    """Publish this machine's CPU, memory, GPU and process readings."""
    watched = {"pids": tuple(pid) if pid else None, "process_names": tuple(process_name) if process_name else None}
    loaded = _load(config, bootstrap_servers, host_agent={**watched, "interval": interval, "host": host})
    from pipeline.host_agent import run_host_agent

    _end(run_host_agent(loaded))


@app.command()
def broker(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    port: Port = 9092,
    heap_mb: HeapMb = 512,
    retention_hours: RetentionHours = 168,
    partitions: Annotated[int, typer.Option(min=1, help="Of topics that are created without a number.")] = 4,
) -> None:
    """Run a local Apache Kafka, for trying things out; the first start fetches it (44 MB)."""
    from pipeline.up import run_broker

    _end(run_broker(_broker_options(data_dir, port, heap_mb, retention_hours, partitions), _say))


@topics_app.command("create")
def topics_create(config: ConfigPath = None, bootstrap_servers: Servers = None) -> None:
    """Create the topics that are missing; those that exist are left as they are."""
    loaded = _load(config, bootstrap_servers)
    from pipeline.topics import create_topics

    report = create_topics(loaded)
    for name in report.created:
        typer.echo(f"created {name}")
    for name in report.existing:
        typer.echo(f"exists  {name}")
    _check_topics(loaded)


@topics_app.command("check")
def topics_check(config: ConfigPath = None, bootstrap_servers: Servers = None) -> None:
    """Say what is wrong with the topics, and how to mend it; exit code 1 if anything is."""
    loaded = _load(config, bootstrap_servers)
    _check_topics(loaded)
    typer.echo("all topics are as they must be")


@app.command("check-config")
def check_config(
    config: ConfigPath = None,
    bootstrap_servers: Servers = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Predictions a second: tells what they need.")] = None,
) -> None:
    """Show the configuration in force, secrets masked; or all its faults at once, exit code 2."""
    loaded = _load(config, bootstrap_servers)
    from pipeline.config_check import effective_values

    for line in effective_values(loaded):
        typer.echo(line)
    if rate is not None:
        from pipeline.core.estimate import estimate_lines

        limit, memory_mb = loaded.joiner.max_open_rows, loaded.joiner.memory_mb
        for line in estimate_lines(rate, loaded.windows.label_horizon, loaded.kafka.partitions, limit, memory_mb):
            typer.echo(line)


@app.command()
def plan(
    rate: Annotated[float, typer.Option(min=0.001, help="Predictions a second, each with a label.")],
    label_horizon: Annotated[str, typer.Option(help="How long after a prediction its label may come.")] = "3d",
    features: Annotated[int, typer.Option(min=0, max=512, help="Of each prediction.")] = 20,
    segments: Annotated[int, typer.Option(min=0, max=8, help="Of each prediction.")] = 0,
    columns: Annotated[
        bool, typer.Option("--columns/--single", help="As Publisher sends them, or one event a record.")
    ] = True,
    memory_mb: Annotated[int, typer.Option(min=16, help="Of a worker: joiner.memory_mb.")] = 4_096,
) -> None:
    """Say what a rate needs: workers, partitions, memory, disk and Kafka's traffic."""
    from pipeline.core.plan import Demand, plan_lines

    try:
        horizon_ms = parse_duration_ms(label_horizon)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--label-horizon") from error
    demand = Demand(rate, horizon_ms, features, segments, "columns" if columns else "single")
    for line in plan_lines(demand, memory_mb):
        typer.echo(line)


@app.command()
def metrics(
    config: ConfigPath = None,
    bootstrap_servers: Servers = None,
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show each model's latest windows: quality, drift, latency, label coverage."""
    loaded = _load(config, bootstrap_servers)
    from pipeline.viewer import show_metrics

    _end(show_metrics(loaded, model=model, as_json=as_json))


@app.command()
def alerts(
    config: ConfigPath = None,
    bootstrap_servers: Servers = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with new alerts until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the alerts that fired and resolved."""
    loaded = _load(config, bootstrap_servers)
    from pipeline.processes import Stopped, stop_on_signals
    from pipeline.viewer import show_alerts

    try:
        with stop_on_signals() if follow else nullcontext():
            code = show_alerts(loaded, follow=follow, as_json=as_json)
    except Stopped:
        code = 0
    _end(code)


@app.command()
def demo(
    duration: Annotated[
        str | None, typer.Option(help="How long it runs after setup, e.g. 60s.", show_default="90s")
    ] = None,
    port: Port = 0,
    data_dir: Annotated[Path, typer.Option("--data-dir", help="Where each run leaves its logs.")] = Path(
        ".driftline/demo"
    ),
) -> None:
    """Watch a real neural network being monitored until a shift in its inputs raises an alert and a retrain trigger."""
    duration_s = None if duration is None else _duration_s(duration)
    from pipeline.demo.main import run_demo

    _end(run_demo(duration_s, port=port, data_dir=data_dir))


@reference_app.command("build")
def reference_build(
    source: Annotated[Path, typer.Argument(help="Rows of features: .csv, .jsonl or .parquet.")],
    target: Annotated[Path, typer.Argument(help="The profile to write.")] = Path("reference.json"),
    model: Annotated[str, typer.Option(help="The model it is for.")] = "*",
    model_version: Annotated[str, typer.Option(help="Its version; * is any.")] = "*",
    bins: Annotated[int | None, typer.Option(min=2, max=64, help="Before [reference] bins.")] = None,
    max_categories: Annotated[int | None, typer.Option(min=2, max=1_000, help="Before max_categories.")] = None,
    columns: Annotated[str | None, typer.Option(help="Only these, comma-separated.")] = None,
    config: ConfigPath = None,
) -> None:
    """Make a drift reference from data, e.g. the training set; name it under [[references]]."""
    given = _load(config, None, reference={"bins": bins, "max_categories": max_categories}).reference
    from pipeline.reference_file import build_reference_file

    build_reference_file(
        source,
        target,
        model=model,
        model_version=model_version,
        bins=given.bins,
        max_categories=given.max_categories,
        columns=None if columns is None else [column.strip() for column in columns.split(",")],
    )
    typer.echo(f"wrote {target}; name it in driftline.toml under [[references]] with its model")


def main() -> None:
    """Run the command line; errors raised on purpose become one clear message and an exit code."""
    is_lasting = bool(_LASTING.intersection(sys.argv[1:2]))
    try:
        # First of all: even reading the options imports what takes its time.
        with end_on_signals() if is_lasting else nullcontext():
            app(prog_name="driftline")
    except ConfigError as error:
        _complain(f"{len(error.faults)} fault(s) in the configuration:\n{error}")
        sys.exit(EXIT_USAGE)
    except DriftlineError as error:
        _complain(str(error))
        sys.exit(EXIT_FAILED)


def _load(config: Path | None, bootstrap_servers: str | None, **sections: dict[str, Any]) -> "Config":
    """The configuration with the options that were given."""
    from pipeline.config_check import load_checked

    sections["kafka"] = {"bootstrap_servers": bootstrap_servers}
    given = {
        section: {key: value for key, value in values.items() if value is not None}
        for section, values in sections.items()
    }
    return load_checked(config, {section: values for section, values in given.items() if values})


def _broker_options(data_dir: Path, port: int, heap_mb: int, retention_hours: int, partitions: int) -> "BrokerOptions":
    from pipeline.local_broker import BrokerOptions

    return BrokerOptions(
        data_dir=data_dir, port=port, heap_mb=heap_mb, retention_hours=retention_hours, partitions=partitions
    )


def _check_topics(config: "Config") -> None:
    from pipeline.topics import check_topics

    faults = check_topics(config)
    for fault in faults:
        _complain(str(fault))
    if faults:
        _end(EXIT_FAILED)


def _duration_s(text: str) -> float:
    try:
        return parse_duration_ms(text) / 1_000
    except ValueError as error:
        raise ConfigError([ConfigFault("--duration", str(error), "write for example 60s or 2m")]) from None


def _say(line: str) -> None:
    typer.echo(line)
    sys.stdout.flush()  # someone may be waiting for this line behind a pipe


def _complain(text: str) -> None:
    typer.echo(f"driftline: {text}", err=True)


def _end(code: int) -> None:
    raise typer.Exit(code)


if __name__ == "__main__":
    main()
