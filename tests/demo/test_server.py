"""The service answers, and what it answered stands on the topics as the contract says."""

import time
from collections.abc import Iterator

import orjson
import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from fastapi.testclient import TestClient

from pipeline.config import Config
from pipeline.demo.check import check_events, rows_of
from pipeline.demo.features import input_features
from pipeline.demo.model import Digits, Model
from pipeline.demo.server import make_app
from pipeline.publisher import Publisher
from pipeline.topics import create_topics
from tests.conftest import MakeConfig


@pytest.fixture
def config(make_config: MakeConfig) -> Config:
    config = make_config()
    create_topics(config)
    return config


def _events(config: Config, name: str) -> Iterator[dict[str, object]]:
    consumer = Consumer({**config.kafka.properties, "group.id": "t", "auto.offset.reset": "earliest"})
    topic = config.kafka.topic(name)
    spots = [TopicPartition(topic, number, 0) for number in range(config.kafka.partitions)]
    left = sum(_end(consumer, spot) for spot in spots)
    consumer.assign(spots)
    while left:
        for message in consumer.consume(left, 0.2):
            left -= 1
            event = orjson.loads(message.value() or b"")
            yield from rows_of(event) if ("layout", b"columns") in (message.headers() or ()) else (event,)
    consumer.close()


def _end(consumer: Consumer, spot: TopicPartition) -> int:
    deadline = time.monotonic() + 20
    while True:
        try:
            return consumer.get_watermark_offsets(spot, timeout=10)[1]
        except KafkaException:  # a new topic's leader is not known at once
            if time.monotonic() > deadline:
                raise


def test_every_answer_is_published_with_its_features(model: Model, data: Digits, config: Config) -> None:
    answers = {}
    with TestClient(make_app(model, Publisher(config=config))) as client:
        for image in data.held_out_images[:20]:
            answer = client.post("/predict", json={"image": image.tolist()}).raise_for_status().json()
            answers[answer["prediction_id"]] = (answer, image)
    published = {event["prediction_id"]: event for event in _events(config, "predictions")}
    assert published.keys() == answers.keys()
    for prediction_id, (answer, image) in answers.items():
        event = published[prediction_id]
        assert event["prediction"] == answer["digit"]
        assert event["features"] == pytest.approx(input_features(image))
        scores = event["scores"]
        assert isinstance(scores, dict)
        assert scores[str(answer["digit"])] == pytest.approx(answer["score"], abs=1e-6)
    assert check_events(config).is_clean


def test_the_model_is_announced_at_start(model: Model, config: Config) -> None:
    with TestClient(make_app(model, Publisher(config=config))) as client:
        assert client.get("/health").json() == {"model": "digits", "model_version": "1"}
    (event,) = _events(config, "models")
    assert event["stage"] == "champion"
    assert event["metrics"] == {
        "train": {"accuracy": model.train_accuracy},
        "test": {"accuracy": model.test_accuracy},
    }
    assert event["parameters"] == {"count": model.parameter_count, "bytes": 8 * model.parameter_count}


@pytest.mark.parametrize("image", [[0.0] * 63, [0.0] * 65, [2.0] + [0.0] * 63, ["ink"] + [0.0] * 63, None])
def test_what_is_no_image_is_refused(model: Model, config: Config, image: object) -> None:
    with TestClient(make_app(model, Publisher(config=config))) as client:
        assert client.post("/predict", json={"image": image}).status_code == 422
