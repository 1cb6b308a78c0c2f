# The demo on an NVIDIA GPU, on vLLM's own image, from the project's root:
#   docker build -f docker/gpu.Dockerfile -t streamspace .
#   docker run --gpus all --ipc=host -p 7860:7860 -v ~/.cache/huggingface:/root/.cache/huggingface \
#     -e MODEL_ID=Qwen/Qwen2.5-1.5B-Instruct streamspace
FROM vllm/vllm-openai:v0.29.0

WORKDIR /app
COPY requirements.txt ./
RUN python3 -m pip install --no-cache-dir --requirement requirements.txt
COPY . .

ENV GRADIO_SERVER_NAME=0.0.0.0
EXPOSE 7860
HEALTHCHECK --start-period=30m CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:7860/health')"]
ENTRYPOINT ["python3", "app.py"]
