"""Exit code 0 if a URL answers with a 2xx within two seconds: the health check of images without curl."""

import sys
import urllib.request

try:
    urllib.request.urlopen(sys.argv[1], timeout=2).close()
except OSError as error:
    sys.exit(f"{sys.argv[1]}: {error}")
