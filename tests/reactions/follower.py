"""A worker process of the reaction plane for the tests: writes down every event it is given, then takes its time."""

import asyncio
import os
import sys

import faust

from pipeline.config import Config
from pipeline.core.events import Json
from pipeline.reactions.app import ReactionApp

TOPICS = ("alerts", "retrain-triggers", "window-metrics", "host-metrics")


def main() -> None:
    bootstrap_servers, prefix, path, pause_s = sys.argv[1:5]
    config = Config(
        kafka={"bootstrap_servers": bootstrap_servers, "topic_prefix": prefix},
        engine={"session_timeout": 6_000},
        reactions={"commit_interval_ms": 500},
    )
    app = ReactionApp(config, lambda _topic, _name, _ok: None)
    seen = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def follow(topic: str) -> None:
        @app.reaction(topic)
        async def write_down(event: Json) -> None:
            os.write(seen, f"\n{topic} {event['partition']} {event['number']} .".encode())
            await asyncio.sleep(float(pause_s))

    for topic in TOPICS:
        follow(topic)
    faust.Worker(app, override_logging=False, redirect_stdouts=False, quiet=True).execute_from_commandline()


if __name__ == "__main__":
    main()
