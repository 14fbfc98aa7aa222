"""The fabricated results tree, written once for the tests that only read it."""

import socket
from pathlib import Path

import pytest
from fabricated import World, document


@pytest.fixture(scope="session")
def fabricated(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A results tree with known numbers; tests must not change it."""
    return World(tmp_path_factory.mktemp("fabricated")).write()


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The same with eight seeds, enough for differences to be told from none; tests must not change it."""
    return World(tmp_path_factory.mktemp("many"), document(seeds=list(range(8)))).write()


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A results tree of the test's own."""
    return World(tmp_path).write()


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables, figures and reports ask nothing of other machines."""

    def refuse(*asked: object) -> None:
        raise AssertionError(f"asked the network: {asked}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
