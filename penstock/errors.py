"""Every error that Penstock tells somebody about: one tree, each with a code, a status and whether to retry.

    PenstockError
    ├── ConfigurationError        exit code 2: a setting, a flag or a spec file is wrong
    ├── RequestError              the caller's request is the reason; sending it again gives the same answer
    │   ├── InvalidRequest              400 invalid_request
    │   │   └── InvalidSignature        what was received as a callback is none of this deployment
    │   ├── Unauthorized                401 unauthorized
    │   ├── Forbidden                   403 forbidden
    │   ├── FunctionNotFound            404 function_not_found
    │   ├── VersionNotFound             404 version_not_found
    │   ├── AliasNotFound               404 alias_not_found
    │   ├── DomainNotFound              404 domain_not_found
    │   ├── InvocationNotFound          404 invocation_not_found
    │   ├── DeliveryNotFound            404 delivery_not_found
    │   ├── InstanceNotFound            404 instance_not_found
    │   ├── BatchNotFound               404 batch_not_found
    │   ├── KeyNotFound                 404 key_not_found
    │   ├── RequestTimedOut             408 request_timeout
    │   ├── NameTaken                   409 name_taken
    │   ├── TopicNotFound               404 topic_not_found
    │   ├── AlreadyFinished             409 already_finished
    │   ├── IdempotencyConflict         409 idempotency_conflict
    │   ├── BatchSealed                 409 batch_sealed
    │   ├── VersionInUse                409 version_in_use
    │   ├── AlreadyExists               409 already_exists
    │   ├── InvocationExpired           410 invocation_expired
    │   ├── BatchExpired                410 batch_expired
    │   ├── PayloadTooLarge             413 payload_too_large
    │   ├── UnsupportedMedia            415 unsupported_media_type
    │   └── TooManyJobs                 413 payload_too_large
    ├── Overloaded                the same request may succeed later; carries `retry_after` in seconds
    │   ├── QueueFull                   429 queue_full
    │   ├── RateLimited                 429 rate_limited
    │   │   └── InFlightLimited         … too many have not ended
    │   ├── FunctionPaused              503 paused
    │   ├── NoLeader                    503 no_leader
    │   └── StoreUnavailable            503 store_unavailable
    └── Stale                     a fencing token or epoch is no longer the current one: nothing was written

How an *invocation* ended is not an exception but a value: `penstock.invocation.Failure`.
"""

from __future__ import annotations


class PenstockError(Exception):
    """Root of the tree. `code` is the API's word for it, `status` the HTTP status that it travels with."""

    code = "internal_error"
    status = 500
    retryable = False


class ConfigurationError(PenstockError):
    """A setting, flag or spec that cannot work. The message says where it is and what would be right."""

    code = "invalid_configuration"
    status = 400


class RequestError(PenstockError):
    """The caller's request is the reason."""


class InvalidRequest(RequestError):
    code = "invalid_request"
    status = 400


class InvalidSignature(InvalidRequest):
    """What was received is no callback that was signed with this secret, or an old one."""


class Unauthorized(RequestError):
    """Nobody that is known: no key, or none that is good."""

    code = "unauthorized"
    status = 401


class Forbidden(RequestError):
    code = "forbidden"
    status = 403


class FunctionNotFound(RequestError):
    code = "function_not_found"
    status = 404

    def __init__(self, name: str) -> None:
        super().__init__(f"no function is named {name!r}; GET /v1/functions lists those that exist")


class VersionNotFound(RequestError):
    code = "version_not_found"
    status = 404

    def __init__(self, function: str, version: str) -> None:
        super().__init__(
            f"{function} has no version {version}; GET /v1/functions/{function}/versions lists those it has"
        )


class AliasNotFound(RequestError):
    code = "alias_not_found"
    status = 404

    def __init__(self, function: str, alias: str) -> None:
        super().__init__(
            f"{function} has no alias {alias!r}; GET /v1/functions/{function}/aliases lists those it has"
        )


class DomainNotFound(RequestError):
    code = "domain_not_found"
    status = 404

    def __init__(self, name: str) -> None:
        super().__init__(f"no domain {name!r} is routed here; GET /v1/domains lists those that are")


class InvocationNotFound(RequestError):
    code = "invocation_not_found"
    status = 404

    def __init__(self, invocation_id: str) -> None:
        super().__init__(f"{invocation_id!r} is not an id that this deployment gave out for this function")


class DeliveryNotFound(RequestError):
    code = "delivery_not_found"
    status = 404

    def __init__(self, name: str) -> None:
        super().__init__(f"the ledger of this function has no delivery {name!r}; GET …/deliveries lists them")


class InstanceNotFound(RequestError):
    code = "instance_not_found"
    status = 404

    def __init__(self, instance: str) -> None:
        super().__init__(f"this function has no instance {instance!r}; GET …/instances lists those it has")


class BatchNotFound(RequestError):
    code = "batch_not_found"
    status = 404

    def __init__(self, batch_id: str) -> None:
        super().__init__(f"{batch_id!r} is not the id of a batch that this deployment gave out for this function")


class RequestTimedOut(RequestError):
    """The rest of a request did not come in time; nothing was done for it."""

    code = "request_timeout"
    status = 408
    retryable = True


class TopicNotFound(RequestError):
    code = "topic_not_found"
    status = 404

    def __init__(self, topic: str) -> None:
        super().__init__(f"no function has a trigger of type topic on {topic!r}: its messages would reach nobody")


class KeyNotFound(RequestError):
    code = "key_not_found"
    status = 404

    def __init__(self, key_id: str) -> None:
        super().__init__(f"no API key has the id {key_id!r}; `penstock keys list` shows those that exist")


class NameTaken(RequestError):
    code = "name_taken"
    status = 409

    def __init__(self, name: str) -> None:
        super().__init__(f"the name {name!r} is another tenant's: choose another one")


class AlreadyFinished(RequestError):
    code = "already_finished"
    status = 409

    def __init__(self, invocation_id: str, state: str) -> None:
        super().__init__(f"invocation {invocation_id} has already ended as {state}")


class IdempotencyConflict(RequestError):
    code = "idempotency_conflict"
    status = 409

    def __init__(self, first: str, what: str = "invocation") -> None:
        super().__init__(f"this Idempotency-Key was used for another request, {what} {first}")


class BatchSealed(RequestError):
    code = "batch_sealed"
    status = 409

    def __init__(self, batch_id: str) -> None:
        super().__init__(f"batch {batch_id} takes no more jobs")


class VersionInUse(RequestError):
    """The message says by what."""

    code = "version_in_use"
    status = 409


class AlreadyExists(RequestError):
    """Something of that name is there, and was not to be replaced."""

    code = "already_exists"
    status = 409


class InvocationExpired(RequestError):
    code = "invocation_expired"
    status = 410

    def __init__(self, invocation_id: str) -> None:
        super().__init__(f"invocation {invocation_id} existed; its record is past its retention and gone")


class BatchExpired(RequestError):
    code = "batch_expired"
    status = 410

    def __init__(self, batch_id: str) -> None:
        super().__init__(f"batch {batch_id} existed; it is past its retention and gone")


class PayloadTooLarge(RequestError):
    code = "payload_too_large"
    status = 413

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than {limit} bytes, the limit of this gateway")


class UnsupportedMedia(RequestError):
    code = "unsupported_media_type"
    status = 415


class TooManyJobs(RequestError):
    code = "payload_too_large"
    status = 413

    def __init__(self, most: int) -> None:
        super().__init__(f"a batch holds at most {most} jobs: send the lines as several; nothing was enqueued")


class Overloaded(PenstockError):
    """Refused before anything was written. `retry_after` is in whole seconds."""

    retryable = True

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class QueueFull(Overloaded):
    code = "queue_full"
    status = 429


class RateLimited(Overloaded):
    """More than a limit of the function, or of the caller's key, allows at a time."""

    code = "rate_limited"
    status = 429


class InFlightLimited(RateLimited):
    """Too many that have not ended; how fast they end says when to come again."""


class FunctionPaused(Overloaded):
    code = "paused"
    status = 503

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is paused by an operator; send Prefer: respond-async to have the call wait as a job",
            retry_after=60,
        )


class NoLeader(Overloaded):
    """What only a leading workers process knows."""

    code = "no_leader"
    status = 503


class StoreUnavailable(Overloaded):
    code = "store_unavailable"
    status = 503


class Stale(PenstockError):
    """The caller's fencing token (a run's attempt) or epoch (a leader's) has been superseded."""

    code = "stale"
    status = 409
