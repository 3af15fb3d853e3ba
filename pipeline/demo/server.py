"""The serving process: the network behind HTTP, each answer published to Kafka as any serving stack would do it."""

import argparse
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Annotated

import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, Field
from threadpoolctl import threadpool_limits

from pipeline.config import load_config
from pipeline.demo.features import SIDE, input_features
from pipeline.demo.model import Model, load_data, train
from pipeline.demo.settings import NAME, TASK, VERSION
from pipeline.publisher import Publisher

HOST = "127.0.0.1"

Pixel = Annotated[float, Field(ge=0, le=1)]


class Question(BaseModel):
    """What a client asks: 64 intensities from 0 to 1, rows first."""

    image: list[Pixel] = Field(min_length=SIDE * SIDE, max_length=SIDE * SIDE)


class Answer(BaseModel):
    """What a client gets: the digit, its probability, and the id under which the true label can be sent later."""

    prediction_id: str
    digit: int
    score: float


def make_app(model: Model, publisher: Publisher) -> FastAPI:
    """Build the service.

    Args:
        model: the trained network.
        publisher: where predictions go; the service announces the model at start and closes it at the end.

    Returns:
        The application with ``POST /predict`` and ``GET /health``.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        announce(model, publisher)
        yield
        publisher.close()

    app = FastAPI(title="digits", lifespan=lifespan)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"model": NAME, "model_version": VERSION}

    @app.post("/predict")
    async def predict(question: Question) -> Answer:
        started = perf_counter()
        image = np.array(question.image)
        digit, probabilities = model.predict(image)
        score = float(probabilities[digit])
        prediction_id = publisher.log_prediction(
            model=NAME,
            model_version=VERSION,
            task=TASK,
            prediction=digit,
            scores={str(label): round(float(value), 6) for label, value in enumerate(probabilities)},
            features=input_features(image),
            latency_ms=(perf_counter() - started) * 1000,
        )
        return Answer(prediction_id=prediction_id, digit=digit, score=score)

    return app


def announce(model: Model, publisher: Publisher) -> None:
    """Publish which model serves from now on.

    Args:
        model: the trained network.
        publisher: where the event goes.
    """
    publisher.log_model(
        model=NAME,
        model_version=VERSION,
        task=TASK,
        stage="champion",
        config=model.config,
        dependencies=model.dependencies,
        parameters={"count": model.parameter_count, "bytes": model.parameter_bytes},
        metrics={"train": {"accuracy": model.train_accuracy}, "test": {"accuracy": model.test_accuracy}},
    )


def main() -> None:
    """Train, bind a port, say which on the first line of stdout as ``{"port": ...}``, and serve until SIGTERM."""
    parser = argparse.ArgumentParser(description="Serve the demo's digit recogniser.")
    parser.add_argument("--config", type=Path, required=True, help="the driftline.toml that says where Kafka is")
    parser.add_argument("--port", type=int, default=0, help="the port to listen on; 0 takes a free one")
    arguments = parser.parse_args()
    config = load_config(arguments.config)
    threadpool_limits(1)  # as in training; one image is no work for threads
    model = train(load_data())
    # The socket is bound here, so that a free port stays ours between being chosen and being served on.
    with socket.create_server((HOST, arguments.port)) as listening:
        line = {"port": listening.getsockname()[1], "test_accuracy": round(model.test_accuracy, 4)}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        publisher = Publisher(config.kafka.bootstrap_servers, config=config)
        server = uvicorn.Server(uvicorn.Config(make_app(model, publisher), log_level="warning"))
        server.run(sockets=[listening])


if __name__ == "__main__":
    main()
