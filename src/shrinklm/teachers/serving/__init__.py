"""A local teacher behind an OpenAI-compatible address on this machine."""
