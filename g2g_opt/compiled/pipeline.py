"""How numba compiles kernels: inner functions become code within the kernel that calls them, and nothing by themselves.

By itself numba optimises and assembles every function that a kernel calls, then again as a part of its caller, and so
on up to the kernel; assembled code of an inner function is never run. Here inner functions stay intermediate code, and
that is optimised once, within the kernel. Passes that kernels have no use for (parallel loops, array expressions,
inlining before types are known) are left out.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from numba import types
from numba.core import typed_passes as typed
from numba.core import untyped_passes as untyped
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, PassManager
from numba.core.compiler_machinery import register_pass
from numba.core.environment import lookup_environment

_ENVIRONMENT = "_ZN08NumbaEnv"


class _Codegen:
    """A code generator that takes no environments: inner functions have none before they are part of a kernel."""

    def __init__(self, codegen: Any) -> None:
        self._codegen = codegen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codegen, name)

    def set_env(self, name: str, environment: Any) -> None:
        pass


class _InnerLibrary(JITCodeLibrary):
    """Intermediate code of an inner function and all it calls."""

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        return 0


@register_pass(mutates_CFG=True, analysis_only=False)
class _InnerLowering(typed.NativeLowering):
    _name = "inner_lowering"

    def run_pass(self, state: Any) -> bool:
        codegen = state.targetctx.codegen()
        state.library = _InnerLibrary(_Codegen(codegen), state.func_id.func_qualname)
        return bool(super().run_pass(state))


class _KernelLibrary(JITCodeLibrary):
    """A kernel's code, optimised once and as a whole; numba looks through it twice more for counts of references."""

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        manager, builder = self._codegen._module_pass_manager()
        with self._recorded_timings.record("Module passes (full optimization)", builder):
            manager.run(self._final_module, builder)


@register_pass(mutates_CFG=True, analysis_only=False)
class _KernelLowering(typed.NativeLowering):
    _name = "kernel_lowering"

    def run_pass(self, state: Any) -> bool:
        codegen = state.targetctx.codegen()
        state.library = _KernelLibrary(codegen, state.func_id.func_qualname)
        state.library.enable_object_caching()
        done = bool(super().run_pass(state))
        for variable in state.library._final_module.global_variables:
            name = variable.name
            environment = lookup_environment(name) if name.startswith(_ENVIRONMENT) else None
            if environment is not None and codegen._engine.get_global_value_address(name):
                codegen.set_env(name, environment)
        return done


class _RememberingContext:
    """A typing context that works out what a function makes of types once, not for every call in every kernel."""

    _found: ClassVar[dict[Any, Any]] = {}

    def __init__(self, context: Any) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def resolve_function_type(self, function: Any, args: Any, kws: Any) -> Any:
        if isinstance(function, types.Dispatcher):
            # A function of our own is one for all whole numbers, not one for every constant that it is handed.
            args = tuple(types.unliteral(kind) for kind in args)
        if kws or type(function) is not types.Function:
            return self._context.resolve_function_type(function, args, kws)
        key = function, args
        found = self._found.get(key)
        if found is None:
            found = self._context.resolve_function_type(function, args, kws)
            if found is not None:
                self._found[key] = found
        return found


@register_pass(mutates_CFG=True, analysis_only=False)
class _TypeInference(typed.NopythonTypeInference):
    _name = "remembering_type_inference"

    def run_pass(self, state: Any) -> bool:
        context = state.typingctx
        state.typingctx = _RememberingContext(context)
        try:
            return bool(super().run_pass(state))
        finally:
            state.typingctx = context


def _passes(state: Any, lowering: Any) -> list[Any]:
    manager = PassManager("kernel")
    if state.func_ir is None:
        manager.add_pass(untyped.TranslateByteCode, "analyzing bytecode")
        manager.add_pass(untyped.FixupArgs, "fix up args")
    manager.add_pass(untyped.ReconstructSSA, "ssa")
    manager.add_pass(_TypeInference, "type inference")
    manager.add_pass(typed.PreLowerStripPhis, "remove phis nodes")
    manager.add_pass(typed.IRLegalization, "ensure IR is legal prior to lowering")
    manager.add_pass(lowering, "lowering")
    manager.add_pass(typed.NoPythonBackend, "nopython mode backend")
    manager.finalize()
    return [manager]


@contextmanager
def _without_collection() -> Iterator[None]:
    """Most of what compiling makes lives as long as it lasts: looking through it for garbage is a tenth of the time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class KernelCompiler(CompilerBase):
    """The pipeline of a kernel."""

    def compile_extra(self, func: Any) -> Any:
        """Compile a function."""
        with _without_collection():
            return super().compile_extra(func)

    def define_pipelines(self) -> list[Any]:
        """Its passes."""
        return _passes(self.state, _KernelLowering)


class InnerCompiler(CompilerBase):
    """The pipeline of an inner function."""

    def define_pipelines(self) -> list[Any]:
        """Its passes."""
        return _passes(self.state, _InnerLowering)
