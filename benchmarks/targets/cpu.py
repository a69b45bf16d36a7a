"""This machine's CPU through ai-edge-litert (or tflite-runtime): XNNPACK or the builtin kernels."""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from asmnet_kit.base.errors import MissingDependency, UsageError
from asmnet_kit.benchmarks.options import RUNTIME
from asmnet_kit.benchmarks.protocol import Abilities, Measurement, OnProgress, Request
from asmnet_kit.benchmarks.timing.machine import CpuUse
from asmnet_kit.benchmarks.timing.operator_times import PACKAGE as PROFILED
from asmnet_kit.benchmarks.timing.operator_times import ProfileError, profile_model
from asmnet_kit.benchmarks.timing.session_timing import measure_session
from asmnet_kit.tflite.runtime import Runtime, installed_runtime, open_runtime

if TYPE_CHECKING:  # at run time it would bring OpenCV into the measured memory
    from asmnet_kit.face.predictor import Predictor


class CpuTarget:
    """``--target cpu``."""

    name = "cpu"
    abilities = Abilities(
        accelerator=False,
        uses_threads=True,
        takes_affinity=True,
        has_profiler=True,
        has_xnnpack=True,
        options=(RUNTIME,),
    )

    def problem(self, request: Request | None = None) -> str | None:
        try:
            installed_runtime(_chosen(request) if request is not None else None)
        except MissingDependency as error:
            return str(error)
        return None

    def refuse(self, request: Request) -> None:
        """As ``refuse_request`` asks.

        Raises:
            UsageError: CPUs that this process cannot be held to, or a profile of kernels that the
                profiler does not run.
        """
        if request.profile and not request.xnnpack:
            raise UsageError("--profile is of XNNPACK's kernels: leave it or --no-xnnpack out")
        if request.profile and _chosen(request) not in (None, PROFILED):
            raise UsageError(f"--profile needs {PROFILED}: leave it or --runtime out")
        if request.affinity:
            _refuse_cpus(request.affinity)

    def measure(self, request: Request, on_progress: OnProgress) -> Measurement:
        chosen = _chosen(request)
        installed_runtime(chosen)  # importing the runtime is not loading the model

        def open_session() -> Runtime:
            if request.affinity:
                # Here, after the machine's facts: threads that are made from now on inherit it.
                os.sched_setaffinity(0, request.affinity)
            return open_runtime(
                request.model, threads=request.threads, xnnpack=request.xnnpack, runtime=chosen
            )

        session, timed = measure_session(open_session, request, on_progress)
        runtime = cast(Runtime, session)
        profile, unprofiled = _profile(request, on_progress)
        return timed.measurement(
            request,
            target={
                "actual": "cpu",
                "threads": request.threads,
                "delegate": "XNNPACK" if runtime.delegated_ops else None,
                "delegated_ops": runtime.delegated_ops,
                "total_ops": runtime.total_ops,
                "proof": _proof(runtime, timed.before, timed.after),
                **({"affinity": list(request.affinity)} if request.affinity else {}),
            },
            runtime={"name": runtime.name, "version": runtime.version, "kernels": runtime.kernels},
            load="read and check the file, prepare the kernels; without imports",
            timed="copy the input in, invoke, copy every output out",
            profile=profile,
            warnings=runtime.notes,
            notes=unprofiled,
        )

    def predictor(self, request: Request) -> "Predictor":
        from asmnet_kit.predict.open_predictor import open_tflite

        session = open_runtime(
            request.model,
            threads=request.threads,
            xnnpack=request.xnnpack,
            runtime=_chosen(request),
        )
        return open_tflite(request.model, session=session, adapter=request.adapter)


CPU = CpuTarget()


def _chosen(request: Request) -> str | None:
    """The runtime that was asked for."""
    return request.options.get(RUNTIME.name)


def _refuse_cpus(cpus: Sequence[int]) -> None:
    if not hasattr(os, "sched_setaffinity"):
        raise UsageError(
            f"--affinity: {sys.platform} has no call that holds a process to CPUs: leave it out"
        )
    allowed = os.sched_getaffinity(0)
    if not set(cpus) <= allowed:
        raise UsageError(f"--affinity: expected CPUs of {sorted(allowed)}, got {sorted(cpus)}")


def _profile(
    request: Request, on_progress: OnProgress
) -> tuple[list[dict[str, Any]] | None, list[str]]:
    """The time of each operator, or why there is none."""
    if not request.profile:
        return None, []
    if not request.xnnpack:
        return None, ["operators not profiled: the profiler runs the XNNPACK kernels"]
    if _chosen(request) not in (None, PROFILED):
        return None, [f"operators not profiled: the profiler is {PROFILED}'s"]
    on_progress(1.0, "profile")
    try:
        return profile_model(request.model, threads=request.threads), []
    except ProfileError as error:
        return None, [f"operators not profiled: {error}"]


def _proof(runtime: Runtime, before: CpuUse, after: CpuUse) -> list[str]:
    """Evidence that the CPU ran it, and with which kernels."""
    wall = max(after.wall_s - before.wall_s, 1e-9)
    cores = (after.process_s - before.process_s) / wall
    proof = [f"this process kept {cores:.2f} CPU cores busy during the timed runs"]
    if runtime.delegated_ops:
        proof.append(
            f"execution plan: {runtime.delegated_ops} of {runtime.total_ops} operators were "
            f"replaced by XNNPACK delegate nodes"
        )
    else:
        proof.append(f"execution plan: {runtime.total_ops} operators, no delegate node")
    return proof
