"""How Faust signs in to Kafka: librdkafka's security properties, said in Faust's words."""

import ssl
from collections.abc import Mapping
from typing import Any

import faust
from faust.types.auth import CredentialsT

from pipeline.core.errors import ConfigError, ConfigFault

_TLS_PROTOCOLS = ("SSL", "SASL_SSL")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


def make_credentials(properties: Mapping[str, Any]) -> CredentialsT | None:
    """Translate the ``[kafka]`` properties.

    Args:
        properties: librdkafka properties by name.

    Returns:
        Faust's credentials; None for an open broker.

    Raises:
        ConfigError: a protocol or mechanism that the reaction plane cannot speak.
    """
    protocol = str(properties.get("security.protocol", "PLAINTEXT")).upper()
    if protocol == "PLAINTEXT":
        return None
    context = _make_context(properties) if protocol in _TLS_PROTOCOLS else None
    if protocol == "SSL":
        return faust.SSLCredentials(context)
    mechanism = str(properties.get("sasl.mechanism", properties.get("sasl.mechanisms", ""))).upper()
    if protocol not in ("SASL_PLAINTEXT", "SASL_SSL") or mechanism not in _MECHANISMS:
        problem = f"reactions cannot speak {protocol} with mechanism {mechanism or '(none)'}"
        mend = f"use one of {', '.join(_MECHANISMS)}, or leave the role reactions to another worker"
        raise ConfigError([ConfigFault("kafka.sasl.mechanism", problem, mend)])
    return faust.SASLCredentials(
        username=str(properties.get("sasl.username", "")),
        password=str(properties.get("sasl.password", "")),
        ssl_context=context,
        mechanism=mechanism,
    )


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
