"""librdkafka's security properties, said in aiokafka's words."""

import ssl

import pytest

from pipeline.core.errors import ConfigError
from pipeline.kafka_security import read_security


def test_an_open_broker_needs_nothing() -> None:
    security = read_security({"bootstrap.servers": "x:1"})
    assert (security.protocol, security.context, security.mechanism) == ("PLAINTEXT", None, "")


def test_tls_verifies_unless_told_otherwise() -> None:
    strict = read_security({"security.protocol": "ssl"}).context
    assert strict is not None
    assert strict.verify_mode == ssl.CERT_REQUIRED
    assert strict.check_hostname
    lax = read_security({"security.protocol": "SSL", "enable.ssl.certificate.verification": False}).context
    assert lax is not None
    assert lax.verify_mode == ssl.CERT_NONE


def test_sasl_carries_the_user_and_hides_the_password() -> None:
    security = read_security(
        {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanisms": "scram-sha-512",
            "sasl.username": "me",
            "sasl.password": "hush",
        }
    )
    assert (security.mechanism, security.username, security.password) == ("SCRAM-SHA-512", "me", "hush")
    assert "hush" not in repr(security)


@pytest.mark.parametrize("mechanism", ["GSSAPI", ""])
def test_what_aiokafka_does_not_speak_is_a_fault_with_its_mend(mechanism: str) -> None:
    with pytest.raises(ConfigError, match="use one of PLAIN"):
        read_security({"security.protocol": "SASL_SSL", "sasl.mechanism": mechanism})
