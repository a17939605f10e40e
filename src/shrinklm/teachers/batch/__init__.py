"""A teacher behind an OpenAI-style batch interface: files of requests, answered within a day at half the price."""

from .teacher import BatchTeacher

__all__ = ["BatchTeacher"]
