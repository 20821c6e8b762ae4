"""Where a model lies that a request, a claim or a command names: in the registry, or a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flows.state.errors import EventError
from flows.state.paths import Home

if TYPE_CHECKING:
    from torch import nn

    from compliance.documents.preprocessing import Preprocessing
    from compliance.documents.request import ModelSource
    from flows.data.dataset import Dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """Weights on disk, and what the registry or their document says of them.

    Attributes:
        path: The safetensors file.
        architecture: How the network is built.
        registry: `name` and `version` of a registered model, None for a file.
        sha256: What the registry says of the bytes, None for a file.
        gone: Classes that the registry says have left the label space, None for a file.
        preprocessing: What the model sees of an image; None where it sees it as it is.
    """

    path: Path
    architecture: str
    registry: dict[str, str] | None = None
    sha256: str | None = None
    gone: tuple[int, ...] | None = None
    preprocessing: Preprocessing | None = None

    def retired(self) -> list[int]:
        """Classes that have left the label space, by the registry or by the file itself.

        Raises:
            ModelError: The file cannot be read, or says so in another form.
        """
        from flows.models import weights

        if self.gone is not None:
            return list(self.gone)
        return weights.retired_outputs(weights.read_metadata(self.path))

    def load(self, dataset: Dataset) -> nn.Module:
        """The network, for images like those of the data.

        Raises:
            ModelError: It cannot be read, or is no such network.
        """
        from flows.models import weights

        network, _ = weights.load_weights(
            self.path,
            architecture=self.architecture,
            classes=dataset.classes,
            input_shape=dataset.input_shape,
        )
        return network


def locate(home: Home, named: ModelSource, origin: Path) -> Located:
    """The model that a document names; files are looked for from the folder it came from.

    Raises:
        ModelError: Its preprocessing cannot be read.
        RegistryError: There is no such model in the registry.
    """
    from flows.models import preprocessing_sources

    if named.registry is not None:
        return registered(home, named.registry)
    return Located(
        path=(origin / str(named.file)).resolve(),
        architecture=str(named.architecture),
        preprocessing=preprocessing_sources.resolve(named.preprocessing, origin),
    )


def refuse_superseded(home: Home, source: Located) -> None:
    """Refuse a registered version that is not the champion, where there is one.

    Raises:
        EventError: Another version is in use.
    """
    if source.registry is None:
        return
    from flows.registry import resolve

    name, version = str(source.registry["name"]), int(source.registry["version"])
    with resolve.read_registry(home) as registry:
        champion = resolve.champion_of(registry, name)
    if champion not in (None, version):
        raise EventError(
            f"The request is about {name} version {version}, but the champion is version "
            f"{champion}: a model made from another one could not take its place. Request it of "
            f"'{name}@{resolve.CHAMPION}'."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What is known of a model without its weights.

    Attributes:
        architecture: How the network is built.
        retired: Classes that have left its label space.
        assumed: Why `retired` is taken for granted; empty where registry or file say it.
        preprocessing: What the model sees of an image; None where it sees it as it is.
    """

    architecture: str
    retired: tuple[int, ...]
    assumed: str = ""
    preprocessing: Preprocessing | None = None


def described(home: Home, named: ModelSource, origin: Path) -> Described:
    """What a document's model is, where its weights are not needed, or not here.

    Raises:
        RegistryError: No such registered model, or tags that damp did not write.
        ModelError: The file is there and says what has left its label space in another form.
    """
    if named.registry is not None:
        from flows.registry import resolve

        spec = resolve.spec_of(home, named.registry)
        return Described(
            architecture=spec.architecture, retired=spec.retired, preprocessing=spec.preprocessing
        )
    located = locate(home, named, origin)
    if located.path.exists():
        return Described(
            architecture=located.architecture,
            retired=tuple(located.retired()),
            preprocessing=located.preprocessing,
        )
    return Described(
        architecture=located.architecture,
        retired=(),
        preprocessing=located.preprocessing,
        assumed=f"{located.path} is not there, so no earlier event is taken to have retired a "
        "class of it. If one has, its references are others: run this again beside the file.",
    )


def registered(home: Home, reference: str) -> Located:
    """A model of the registry, as `name@alias` or `name/3`.

    Raises:
        RegistryError: There is none, or its bytes are not those that were registered.
    """
    from flows.registry import registration

    model = registration.resolve(home, reference)
    return Located(
        path=model.weights,
        architecture=model.architecture,
        registry={"name": model.name, "version": str(model.version)},
        sha256=model.sha256,
        gone=tuple(model.retired),
        preprocessing=model.preprocessing,
    )
