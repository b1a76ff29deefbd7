"""Moved to `g2g_opt.evaluation`; `from g2g_opt import evaluate` is the way of scripts. This name goes with 0.3."""

from g2g_opt.deprecation import module_moved
from g2g_opt.evaluation import evaluate

module_moved(__name__, "g2g_opt.evaluation", "0.3", evaluate)

__all__ = ["evaluate"]
