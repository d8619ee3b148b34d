import json
import os
import urllib.error
import urllib.request

import pytest


@pytest.fixture(scope="session")
def url():
    """URL of the Service that clients use, as reached from this machine."""
    with open(os.environ["E2E_ENVIRONMENT"], encoding="utf-8") as file:
        system = json.load(file)
    address = next(port["address"] for port in system["services"] if port["service"] == system["entrance"])
    return f"http://{address}"


def ask(url, data=None):
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as response:
        return json.load(response)


def test_an_item_is_kept_and_its_views_are_counted(url):
    number = ask(f"{url}/items", {"name": "lamp"})["id"]
    assert ask(f"{url}/items/{number}") == {"name": "lamp", "views": 1}
    assert ask(f"{url}/items/{number}")["views"] == 2


def test_an_unknown_item_is_not_found(url):
    with pytest.raises(urllib.error.HTTPError, match="404"):
        ask(f"{url}/items/0")
