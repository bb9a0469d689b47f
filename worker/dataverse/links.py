"""Keeps next links at home: a token must never be sent to an address that an answer names."""

from urllib.parse import SplitResult, urlsplit

from worker.dataverse.errors import UnexpectedAnswerError

PORTS = {"https": 443, "http": 80}


def below_root(link: str, root: str) -> str:
    """Give what a next link adds to the API's root, exactly as it stands there; a path below it is left alone.

    Args:
        link: An address, or a path below the root.
        root: The API's root, such as ``https://yourorg.crm.dynamics.com/api/data/v9.2/``.

    Raises:
        UnexpectedAnswerError: For a link to anywhere else.
    """
    if "://" not in link.partition("?")[0]:
        return link
    here, there = urlsplit(root), _split(link)
    if there is None or _origin(here) != _origin(there) or not there.path.startswith(here.path):
        raise UnexpectedAnswerError("Dataverse sent a next link that leads to another address; it is not followed")
    return there._replace(scheme="", netloc="", path=there.path.removeprefix(here.path)).geturl()


def _split(link: str) -> SplitResult | None:
    """Take an address apart; None for one that cannot be."""
    try:
        address = urlsplit(link)
        _ = address.port  # only reading it finds out that it is no number
    except ValueError:
        return None
    return address


def _origin(address: SplitResult) -> tuple[str, str | None, int | None]:
    return address.scheme, address.hostname, address.port or PORTS.get(address.scheme)
