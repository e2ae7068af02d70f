"""How Penstock listens: who may connect, for how long, and under which certificate.

aiohttp parses HTTP and calls handlers; it never gives up on a client that is slow. `listener` accepts connections
and counts them, `connection` is aiohttp's own with limits in time, `limits` says which, `tls` keeps the
certificate.
"""

from penstock.listening.limits import Limits, most_connections
from penstock.listening.listener import Listener, bind, descriptors
from penstock.listening.tls import Certificate

__all__ = ["Certificate", "Limits", "Listener", "bind", "descriptors", "most_connections"]
