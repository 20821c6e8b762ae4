"""A key of demonstrations, and the trust in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from compliance.signing import SigningKey, Trust, TrustedKey, envelope


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return envelope.generate(tmp_path_factory.mktemp("keys"), demo=True)


@pytest.fixture(scope="module")
def trust(key: SigningKey, trust_line: Callable[..., TrustedKey]) -> Trust:
    return Trust(keys={key.keyid: trust_line(key)})
