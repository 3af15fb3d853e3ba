"""librdkafka's security properties in the words of aiokafka: for the reaction plane and for leaving groups."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.core.errors import ConfigError, ConfigFault

_TLS_PROTOCOLS = ("SSL", "SASL_SSL")
_SASL_PROTOCOLS = ("SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True, slots=True)
class Security:
    """How to sign in to Kafka.

    Attributes:
        protocol: ``PLAINTEXT``, ``SSL``, ``SASL_PLAINTEXT`` or ``SASL_SSL``.
        context: the TLS context; None without TLS.
        mechanism: the SASL mechanism; empty without SASL.
        username: for SASL.
        password: for SASL; never shown.
    """

    protocol: str
    context: ssl.SSLContext | None = None
    mechanism: str = ""
    username: str = ""
    password: str = field(default="", repr=False)


def read_security(properties: Mapping[str, Any]) -> Security:
    """Translate the ``[kafka]`` properties.

    Args:
        properties: librdkafka properties by name.

    Returns:
        How to sign in.

    Raises:
        ConfigError: a protocol or mechanism that aiokafka does not speak.
    """
    protocol = str(properties.get("security.protocol", "PLAINTEXT")).upper()
    context = _make_context(properties) if protocol in _TLS_PROTOCOLS else None
    if protocol in ("PLAINTEXT", "SSL"):
        return Security(protocol, context)
    mechanism = str(properties.get("sasl.mechanism", properties.get("sasl.mechanisms", ""))).upper()
    if protocol not in _SASL_PROTOCOLS or mechanism not in _MECHANISMS:
        problem = f"reactions cannot speak {protocol} with mechanism {mechanism or '(none)'}"
        mend = f"use one of {', '.join(_MECHANISMS)}, or leave the role reactions to another worker"
        raise ConfigError([ConfigFault("kafka.sasl.mechanism", problem, mend)])
    username, password = str(properties.get("sasl.username", "")), str(properties.get("sasl.password", ""))
    return Security(protocol, context, mechanism, username, password)


def _make_context(properties: Mapping[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=properties.get("ssl.ca.location"))
    if str(properties.get("ssl.endpoint.identification.algorithm", "https")).lower() == "none":
        context.check_hostname = False
    if str(properties.get("enable.ssl.certificate.verification", "true")).lower() == "false":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate = properties.get("ssl.certificate.location")
    if certificate:
        context.load_cert_chain(certificate, properties.get("ssl.key.location"), properties.get("ssl.key.password"))
    return context
