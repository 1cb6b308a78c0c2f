# The demo on a CPU, from the project's root:
#   docker build -f docker/cpu.Dockerfile -t streamspace-cpu . && docker run -p 7860:7860 streamspace-cpu
FROM python:3.12-slim-bookworm

# vLLM's CPU build needs libnuma; it is quicker with tcmalloc, which the app preloads where it finds it.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libnuma1 libtcmalloc-minimal4 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY requirements-cpu.txt ./
COPY scripts/setup scripts/setup
RUN DEVICE=cpu scripts/setup && rm -rf /root/.cache
COPY . .

RUN useradd --create-home --uid 1000 user
USER 1000
ENV GRADIO_SERVER_NAME=0.0.0.0
EXPOSE 7860
HEALTHCHECK --start-period=5m CMD [".venv/bin/python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:7860/health')"]
ENTRYPOINT [".venv/bin/python", "app.py"]
