"""A teacher behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp, Ollama, LM Studio, OpenAI and its kin."""

from .teacher import EndpointTeacher

__all__ = ["EndpointTeacher"]
