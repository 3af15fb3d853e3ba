"""How Faust signs in to Kafka."""

import faust
from faust.types.auth import CredentialsT

from pipeline.kafka_security import Security


def make_credentials(security: Security) -> CredentialsT | None:
    """The same in Faust's terms.

    Args:
        security: how to sign in.

    Returns:
        Faust's credentials; None for an open broker.
    """
    if security.mechanism:
        return faust.SASLCredentials(
            username=security.username,
            password=security.password,
            ssl_context=security.context,
            mechanism=security.mechanism,
        )
    return faust.SSLCredentials(security.context) if security.context else None
