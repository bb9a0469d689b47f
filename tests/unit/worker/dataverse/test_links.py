"""Next links are followed exactly, and only within the API that they came from."""

import pytest

from worker.dataverse.errors import UnexpectedAnswerError
from worker.dataverse.links import below_root

ROOT = "https://org.crm.dynamics.com/api/data/v9.2/"


@pytest.mark.parametrize(
    ("link", "path"),
    [
        (ROOT + "rows?$skiptoken=%3Ccookie%20x%3D%222%22%3E", "rows?$skiptoken=%3Ccookie%20x%3D%222%22%3E"),
        ("https://ORG.crm.dynamics.com/api/data/v9.2/rows?a=b", "rows?a=b"),
        ("https://org.crm.dynamics.com:443/api/data/v9.2/rows?a=b", "rows?a=b"),
        ("rows?$filter=name%20eq%20'https://x'", "rows?$filter=name%20eq%20'https://x'"),
        ("rows?link=https://elsewhere/", "rows?link=https://elsewhere/"),
    ],
)
def test_a_next_link_is_taken_exactly_as_it_stands(link: str, path: str) -> None:
    assert below_root(link, ROOT) == path


@pytest.mark.parametrize(
    "link",
    [
        "https://elsewhere.example/api/data/v9.2/rows",
        "http://org.crm.dynamics.com/api/data/v9.2/rows",
        "https://org.crm.dynamics.com/api/data/v9.1/rows",
        "https://org.crm.dynamics.com/other",
        "https://org.crm.dynamics.com@elsewhere.example/api/data/v9.2/rows",
        "https://org.crm.dynamics.com:1/api/data/v9.2/rows",
        "https://org.crm.dynamics.com.elsewhere.example/api/data/v9.2/rows",
        "https://org.crm.dynamics.com:port/api/data/v9.2/rows",
        "https://[org/api/data/v9.2/rows",
    ],
)
def test_a_next_link_to_anywhere_else_is_refused(link: str) -> None:
    with pytest.raises(UnexpectedAnswerError):
        below_root(link, ROOT)
