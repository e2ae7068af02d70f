"""A function as Function Compute's s.yaml writes it, in both of its shapes: `fc` (1.0.0) and `fc3` (3.0.0).

Fields are read wherever either shape has them, since the vendor's own examples mix the two. What is unknown is
kept aside, to be warned about; what is known must be right.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel


class Part(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, alias_generator=to_camel)

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_given(cls, value: Any) -> Any:
        return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value

    def spelled(self, field: str) -> str:
        """A field's name in files; the newest, where it has several."""
        return names(type(self))[field][0]


def _either(*names: str) -> Any:
    return Field(default=None, validation_alias=AliasChoices(*names))


def _words(value: Any) -> Any:
    """A list of words, or a string that holds one as JSON."""
    if isinstance(value, str):
        if not value.strip():
            return ()
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError(_WORDS_ALLOWED) from None
    if not isinstance(value, list) or any(isinstance(word, (dict, list)) or word is None for word in value):
        raise ValueError(_WORDS_ALLOWED)
    return [_as_text(word) for word in value]


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


_WORDS_ALLOWED = """must be a list of words, or a string that holds one as JSON, such as '["python", "app.py"]'"""

Words = Annotated[tuple[str, ...], BeforeValidator(_words)]


class HealthCheck(Part):
    http_get_url: Annotated[str, Field(pattern=r"^/")] | None = None
    initial_delay_seconds: Annotated[int, Field(ge=0)] | None = None
    period_seconds: Annotated[int, Field(ge=1)] | None = None
    timeout_seconds: Annotated[int, Field(ge=1)] | None = None
    failure_threshold: Annotated[int, Field(ge=1)] | None = None
    success_threshold: Annotated[int, Field(ge=1)] | None = None


class Container(Part):
    image: Annotated[str, Field(pattern=r"^[\w.][\w.:/@+*-]*$")] | None = None
    entrypoint: Words = ()
    command: Words = ()
    args: Words = ()
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    web_server_mode: bool = True
    health_check_config: HealthCheck | None = None


class GpuConfig(Part):
    gpu_memory_size: Annotated[int, Field(ge=1)] | None = None
    """MB."""
    gpu_type: str | None = None


class Hook(Part):
    handler: str | None = None
    """Names it in the vendor's own runtimes; a container is asked at its fixed path."""
    timeout: Annotated[int, Field(ge=1, le=300)] | None = None
    """Seconds."""


class Hooks(Part):
    initializer: Hook | None = None
    pre_stop: Hook | None = None
    pre_freeze: Any = None


class Destination(Part):
    destination: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _text_is_one(cls, value: Any) -> Any:
        return {"destination": value} if isinstance(value, str) else value


class Destinations(Part):
    on_success: Destination | None = None
    on_failure: Destination | None = None


class Async(Part):
    max_age: Annotated[int, Field(ge=1, le=604_800)] | None = _either(
        "maxAsyncEventAgeInSeconds", "maxAsyncEventAge"
    )
    """Seconds."""
    max_retries: Annotated[int, Field(ge=0, le=8)] | None = _either("maxAsyncRetryAttempts")
    """Runs beside the first."""
    destinations: Destinations | None = _either("destinationConfig", "destination")


class Concurrency(Part):
    reserved_concurrency: Annotated[int, Field(ge=0)] | None = None
    """Calls at a time, over all instances."""


class Scaling(Part):
    min_instances: Annotated[int, Field(ge=0)] | None = None
    horizontal_scaling_policies: list[dict[str, Any]] = Field(default_factory=list)
    scheduled_policies: list[dict[str, Any]] = Field(default_factory=list)


class VendorFunction(Part):
    """A function of either shape."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][\w-]{0,127}$")] | None = _either("functionName", "name")
    runtime: str = "custom-container"
    handler: str | None = None
    code: Any = _either("codeUri", "code")
    cpu: Annotated[float, Field(gt=0, le=512)] | None = None
    """Cores."""
    memory_size: Annotated[int, Field(ge=64)] | None = None
    """MB."""
    gpu_memory_size: Annotated[int, Field(ge=1)] | None = None
    """MB."""
    instance_type: str | None = None
    gpu_config: GpuConfig | None = None
    timeout: Annotated[int, Field(ge=1, le=86_400)] | None = None
    """Seconds of one run."""
    instance_concurrency: Annotated[int, Field(ge=1, le=200)] | None = None
    ca_port: Annotated[int, Field(ge=1, le=65535)] | None = _either("caPort", "CAPort")
    container: Container | None = _either("customContainerConfig")
    environment: dict[str, str] = Field(default_factory=dict, validation_alias="environmentVariables")
    initializer: str | None = None
    initialization_timeout: Annotated[int, Field(ge=1, le=300)] | None = None
    """Seconds."""
    hooks: Hooks | None = _either("instanceLifecycleConfig")
    health_check: HealthCheck | None = _either("customHealthCheckConfig", "healthCheckConfig")
    asynchronous: Async | None = _either("asyncInvokeConfig", "asyncConfiguration")
    concurrency: Concurrency | None = _either("concurrencyConfig")
    provision: dict[str, Any] | None = _either("provisionConfig")
    scaling: Scaling | None = _either("scalingConfig")
    internet_access: bool | None = None

    @field_validator("environment", mode="before")
    @classmethod
    def _scalars_are_text(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            str(name): one if isinstance(one, (dict, list)) else _as_text("" if one is None else one)
            for name, one in value.items()
        }


def names(model: type[Part]) -> dict[str, list[str]]:
    """Of each field, every name that it goes by in files."""
    found = {}
    for name, field in model.model_fields.items():
        alias = field.validation_alias
        if isinstance(alias, AliasChoices):
            found[name] = [str(choice) for choice in alias.choices]
        else:
            found[name] = [str(alias or field.alias or name)]
    return found
