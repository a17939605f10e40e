"""What a recipe will take: prompts, tokens, dollars, time, memory and disk. Nothing is paid or kept."""

from .hardware import fleet
from .plan import plan_run

__all__ = ["fleet", "plan_run"]
