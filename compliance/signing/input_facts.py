"""What an attempt started from, as typed facts of its statement: models, data, code, machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """SHA-256 of a file's bytes, 64 hexadecimal digits."""

    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A version in a model registry."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBefore:
    """The model that was to forget."""

    digest: Digest
    registry: Registered | None
    architecture: str
    parameters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DataVersion:
    """One version of a data set."""

    name: str
    version: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainSet:
    """The rows that were kept: how many, and one digest over all of them."""

    count: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetSet:
    """The rows to forget: how many, and a commitment to them under a key of the controller."""

    count: int
    commitment: str
    algorithm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What the code ran in; `lock_digest` is that of the lock file, where there was one."""

    platform: str
    python: str
    packages: Mapping[str, str]
    lock_digest: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What it ran on."""

    type: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """The version of damp that did it; its revision where it ran from a repository."""

    version: str
    revision: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What the attempt started from, and the data version it left."""

    model_before: ModelBefore
    data_before: DataVersion
    data_after: DataVersion
    forget_set: ForgetSet
    retain_set: RetainSet
    code: Code
    environment: Environment
    device: Device
