"""Celery's Redis transport, with errors that Redis answers waited out instead of ending the worker.

During a fail-over a master answers as a read-only replica for a moment and unblocks who waits on it with an error; a
Redis that is full refuses writes until somebody makes room. kombu counts none of these among its connection errors, so
Celery's worker would end ("Unrecoverable error"). Counted among them, it connects anew until Redis takes writes again.
"""

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.redis import Transport
from redis.exceptions import ResponseError


class PatientTransport(Transport):
    """Connects anew on whatever error Redis answers."""

    connection_errors = (*Transport.connection_errors, ResponseError)


def use_patient_transport() -> None:
    """Have kombu use this transport for ``redis://``, ``rediss://`` and sockets, in this process."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{PatientTransport.__name__}"
