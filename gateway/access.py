"""Who may do what: a caller, what a route needs, and the function that it is about. Pure.

Who has no right to know of a function is told what somebody is told who asks for one that does not exist.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

from penstock.apikey import ALL, ApiKey, Verb, allows
from penstock.errors import Forbidden, FunctionNotFound, NameTaken, Unauthorized
from penstock.limits import Limits

NO_KEY = "no API key: send one as `Authorization: Bearer KEY` or `X-Api-Key: KEY`"
_ANONYMOUS = "anonymous"


class Target(Enum):
    """What a route is about."""

    FUNCTION = "the function that it names"
    NAME = "a function that may not be there yet"
    ANY = "whatever the caller may see"
    DEPLOYMENT = "the deployment as a whole"
    METRICS = "the same, unless a setting opens it"


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a route asks of its callers."""

    verb: Verb | None
    """None: nothing."""
    target: Target = Target.FUNCTION
    by_id: bool = False
    """Whoever may call the function may do it: only they know the id."""
    late: bool = False
    """Its handler finds out which function it is about, and asks."""

    @property
    def may_be_open(self) -> bool:
        """Whether it wants no key of a function that is anonymous."""
        return self.verb is Verb.INVOKE or self.by_id


OPEN = Need(verb=None)
INVOKE = Need(verb=Verb.INVOKE)
READ = Need(verb=Verb.READ)
READ_ONE = Need(verb=Verb.READ, by_id=True)
CANCEL = Need(verb=Verb.CANCEL)
DEPLOY = Need(verb=Verb.DEPLOY)
CREATE = Need(verb=Verb.DEPLOY, target=Target.NAME)
ADMIN = Need(verb=Verb.ADMIN)
LIST = Need(verb=Verb.READ, target=Target.ANY)
MANAGE = Need(verb=Verb.ADMIN, target=Target.ANY)
LATE_INVOKE, LATE_READ, LATE_READ_ONE, LATE_CANCEL, LATE_CREATE, LATE_DEPLOY, LATE_ADMIN = (
    replace(need, late=True) for need in (INVOKE, READ, READ_ONE, CANCEL, CREATE, DEPLOY, ADMIN)
)
"""Of other vendors' routes, whose names of functions are not ours."""
OBSERVE = Need(verb=Verb.READ, target=Target.DEPLOYMENT)
METRICS = Need(verb=Verb.READ, target=Target.METRICS)
PUBLISH = Need(verb=Verb.INVOKE, target=Target.DEPLOYMENT)
OPERATE = Need(verb=Verb.ADMIN, target=Target.DEPLOYMENT)


@dataclass(frozen=True, kw_only=True)
class Caller:
    key_id: str | None
    """None: without a key."""
    tenant: str = ""
    """Empty: the operator's."""
    scopes: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)

    @property
    def operates(self) -> bool:
        """Whether every tenant's functions are theirs to see."""
        return not self.tenant and allows(self.scopes, Verb.ADMIN, "*")

    @property
    def party(self) -> str | None:
        """Who they are among those who share a function's queue; None: nobody is told apart."""
        return None if self is ANYBODY else self.key_id or _ANONYMOUS

    @property
    def owner(self) -> str:
        """Within which an Idempotency-Key means one request."""
        return f"\0{_ANONYMOUS}" if self is NOBODY else self.tenant

    @property
    def deploys_for(self) -> str | None:
        """The tenant whose the functions are that they deploy; None: whose they were."""
        return None if self.operates else self.tenant

    def sees(self, name: str, tenant: str | None) -> bool:
        """Whether this function is one of those that they are shown. `tenant` None: it is not known."""
        return self.operates or (tenant == self.tenant and allows(self.scopes, Verb.READ, name))


ANYBODY = Caller(key_id=None, scopes=ALL)
"""Of a deployment without keys."""
NOBODY = Caller(key_id=None)
"""Without a key, where there are keys."""


def holder(key: ApiKey) -> Caller:
    return Caller(key_id=key.id, tenant=key.tenant, scopes=key.scopes, limits=key.limits)


@dataclass(frozen=True, kw_only=True)
class Known:
    """What matters of a function that is there, or was."""

    tenant: str
    anonymous: bool = False


def permit(caller: Caller, need: Need, name: str, known: Known | None) -> None:
    """Whether they may do this with this function. `known` None: there is none, and never was. Raises
    Unauthorized, Forbidden, FunctionNotFound and NameTaken."""
    if caller is ANYBODY or need.verb is None:
        return
    if known is not None and known.anonymous and need.may_be_open:
        return
    if caller is NOBODY:
        raise Unauthorized(NO_KEY)
    new = need.target is Target.NAME
    if known is None and not new:
        raise FunctionNotFound(name)
    if known is not None and known.tenant != caller.tenant and not caller.operates:
        raise NameTaken(name) if new else FunctionNotFound(name)
    if not allows(caller.scopes, need.verb, name):
        raise _lacks(f"{need.verb}:{name}")


def admit(caller: Caller, need: Need) -> None:
    """Whether they may do this at all, where it is about no function. Raises Unauthorized and Forbidden."""
    if caller is ANYBODY or need.verb is None:
        return
    if caller is NOBODY:
        raise Unauthorized(NO_KEY)
    if need.target in (Target.DEPLOYMENT, Target.METRICS):
        if caller.tenant:
            raise Forbidden("this is for the operator's keys: it shows or changes what all tenants share")
        if not allows(caller.scopes, need.verb, "*"):
            raise _lacks(f"{need.verb}:*")
    elif not any(scope.partition(":")[0] in ("*", need.verb) for scope in caller.scopes):
        raise _lacks(f"{need.verb}:*")


def _lacks(scope: str) -> Forbidden:
    return Forbidden(f"this API key may not do that: it lacks the scope {scope}")
