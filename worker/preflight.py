"""The one look that a process takes before it begins: is it let in? What is wrong for good ends it, in words."""

import structlog

from config.sources import SettingsError
from worker.dataverse.client import DataverseClient
from worker.dataverse.errors import DataverseError

log = structlog.get_logger(__name__)


def ensure_let_in(client: DataverseClient) -> None:
    """Sign in and ask Dataverse who we are.

    A Dataverse that is away for the moment is no reason to stop: the process then starts and waits for it.

    Args:
        client: This process's client.

    Raises:
        SettingsError: When Entra ID or Dataverse refuses us, naming the setting or the privilege.
    """
    try:
        user = client.who_am_i()
    except DataverseError as error:
        if not error.transient:
            raise SettingsError([str(error)]) from error
        log.warning("dataverse_not_there_yet", error=str(error))
    else:
        log.info("signed_in_as", user_id=str(user))
