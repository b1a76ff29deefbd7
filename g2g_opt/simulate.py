"""Moved to `g2g_opt.simulation`; `from g2g_opt import simulate` is the way of scripts. This name goes with 0.3."""

from g2g_opt.deprecation import module_moved
from g2g_opt.simulation import BATCH_SIZE, Bases, beside_bases, simulate, simulate_assembled, simulate_runs

module_moved(__name__, "g2g_opt.simulation", "0.3", simulate)

__all__ = ["BATCH_SIZE", "Bases", "beside_bases", "simulate", "simulate_assembled", "simulate_runs"]
