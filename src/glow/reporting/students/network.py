"""How large the network of a student is, and of which kind: from its model, and later from a record of that.

The record stands beside the student's tables, so that results can be copied without their models.
"""

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from glow.config import Section
from glow.errors import UserError
from glow.files.jsonl import write_json
from glow.models.size import architecture, parameters
from glow.reporting.results import Results


class Network(Section):
    """What is recorded of a student's model.

    Attributes:
        student: the model that the configuration names.
        parameters: how many it has.
        architecture: of which kind it is (qwen2, llama).
    """

    student: dict[str, Any]
    parameters: int = Field(gt=0)
    architecture: str


def network_file(results: Results) -> Path:
    """The record, in the folder of the student's tables."""
    return results.tables / "network.json"


def record_network(results: Results) -> None:
    """Record what the student's model is, where it is there; without it, an earlier record stays.

    Raises:
        UserError: its files are there, and cannot be read.
    """
    model = _model(results)
    if any(model.glob("*.safetensors")):
        write_json(network_file(results), _measured(results, model).model_dump())


def network(results: Results) -> Network:
    """What is recorded of the student's model, or what its files say where nothing is.

    Raises:
        UserError: the record is none; or there is none of this model, and its weights or its config.json are
            missing.
    """
    file = network_file(results)
    if file.is_file():
        try:
            found = Network.model_validate_json(file.read_bytes())
        except ValidationError:
            raise UserError(
                f"{file}: not what this version of glow writes; run `glow tables` again"
            ) from None
        if found.student == _named(results):
            return found
    return _measured(results, _model(results))


def _model(results: Results) -> Path:
    return results.experiment.base.path or results.home / "models" / "base"


def _named(results: Results) -> dict[str, Any]:
    named: dict[str, Any] = results.experiment.base.model_dump(mode="json")
    return named


def _measured(results: Results, model: Path) -> Network:
    return Network(student=_named(results), parameters=parameters(model), architecture=architecture(model))
