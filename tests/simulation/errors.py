"""Kafka's errors as librdkafka hands them out."""

from confluent_kafka import KafkaError, KafkaException


def kafka_error(code: int, *, retriable: bool = False, abortable: bool = False, fatal: bool = False) -> KafkaException:
    return KafkaException(KafkaError(code, "simulated", retriable=retriable, txn_requires_abort=abortable, fatal=fatal))


def timed_out() -> KafkaException:
    return kafka_error(KafkaError._TIMED_OUT, retriable=True)


def fenced() -> KafkaException:
    return kafka_error(KafkaError._FENCED, fatal=True)
