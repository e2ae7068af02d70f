# Redis, HAProxy and Prometheus of Debian in one image, for compose/offline.yaml.
ARG BASE
FROM ${BASE}
COPY compose/debs /debs
RUN dpkg --install /debs/*.deb && rm -r /debs \
 && install -d -o 999 -g 999 /data \
 && install -d -o 65534 -g 65534 /prometheus
COPY compose/health.py /opt/health.py
