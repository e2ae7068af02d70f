"""What the processes tell of themselves: metrics, traces and logs. Only this package imports opentelemetry.

`setup.py` is what an application constructs, once; policies and the domain know nothing of any of it.
"""
