"""The policies of others, in the order in which they are shown."""

from __future__ import annotations

from workers.simulate.policies.keda import Keda
from workers.simulate.policies.knative import Knative
from workers.simulate.policies.ray import Ray

ALL = (Knative, Ray, Keda)
