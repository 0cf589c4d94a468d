"""Airflow's services as child processes: started, watched, started again, ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import psutil
from biomem.demo.postgres import is_running, revive
from biomem.errors import ServiceError

from biomem_airflow import environment as env
from biomem_airflow.local import processes, state
from biomem_airflow.local.watch import SILENT_S, STARTING_S, STOPPED_S, Revivals, SilentParts, StoppedProcesses

if TYPE_CHECKING:
    from pathlib import Path

    from biomem.settings import Settings

    from biomem_airflow.local.api import AirflowApi

SERVICES = ("api-server", "scheduler", "dag-processor", "triggerer")
BYTES_TO_REVIVE = 64 * 1024**2  # PostgreSQL recovers into segments of 16 MB
PATIENCE_S = 3.0
LOOK_S = 5.0
LOG_BYTES = 10 * 1024**2

Progress = Callable[[str], None]


class Services:
    """Airflow's services as children of this process; what is known about them is written down at every change."""

    def __init__(self, settings: Settings, url: str, variables: dict[str, str]) -> None:
        self._settings = settings
        self._url = url
        self._variables = variables
        self._children: dict[str, processes.Child] = {}
        self._revivals = Revivals()
        self._stopped = StoppedProcesses()
        self._silent = SilentParts()
        self._looked_s = 0.0
        self._is_disk_full = False
        self._is_ready = False

    def start(self) -> None:
        for service in SERVICES:
            self._log(service).unlink(missing_ok=True)
            self._start(service)

    def are_up(self) -> None:
        """From now on others may use them."""
        self._is_ready = True
        self._write_down()

    def describe(self) -> state.LocalAirflow:
        children = tuple(self._children.values())
        password_file = env.password_file(self._settings)
        return state.LocalAirflow(self._url, env.USER, password_file, os.getpid(), children, self._is_ready)

    def revive(self, tell: Progress) -> None:
        """Start again what has died; Airflow makes up for what was missed. Raises ServiceError when that is in vain.

        On a full disk it would be: then it waits for room.
        """
        if shutil.disk_usage(self._settings.home).free < BYTES_TO_REVIVE:
            if not self._is_disk_full:
                tell(f"the disk of {self._settings.home} is full: what dies is started again when there is room")
            self._is_disk_full = True
            return
        self._is_disk_full = False
        self._revive_postgres(tell)
        for service, child in list(self._children.items()):
            if child.is_running():
                continue
            if self._revivals.are_in_vain(service, time.monotonic()):
                raise ServiceError(f"Airflow's {service} dies again and again; {child.log} ends with:\n{child.tail()}")
            tell(f"Airflow's {service} has died and is started again; see {child.log}")
            processes.end([child], patience_s=0)
            self._start(service)

    def end_stopped(self, tell: Progress) -> None:
        """Kill what has been stopped for long."""
        for process in self._stopped.overdue(self._children.values(), time.monotonic()):
            with contextlib.suppress(psutil.NoSuchProcess):
                title = " ".join(process.cmdline())
                process.kill()
                tell(f"process {process.pid} ({title}) had been stopped for {STOPPED_S:.0f} s and is killed")

    def end_silent(self, api: AirflowApi, tell: Progress) -> None:
        """Kill what runs but has not been heard of for long."""
        now_s = time.monotonic()
        if now_s - self._looked_s < LOOK_S:
            return
        self._looked_s = now_s
        for part in self._silent.overdue(api.health(timeout_s=LOOK_S / 2), now_s):
            child = self._children.get(part.replace("_", "-"))
            if child is not None and child.is_running() and time.time() - child.started > STARTING_S:
                tell(f"Airflow's {child.name} runs, but has not been heard of for {SILENT_S:.0f} s, and is killed")
                processes.end([child], patience_s=0)

    def shorten_logs(self) -> None:
        """Begin a log anew when it has grown long, keeping one older part where the disk has room for it."""
        for child in self._children.values():
            if child.log.stat().st_size > LOG_BYTES:
                with contextlib.suppress(OSError):
                    shutil.copyfile(child.log, child.log.with_suffix(".log.1"))
                os.truncate(child.log, 0)

    def end(self) -> None:
        processes.end(list(self._children.values()), patience_s=PATIENCE_S)
        state.path(self._settings).unlink(missing_ok=True)

    def _revive_postgres(self, tell: Progress) -> None:
        if is_running(self._settings):
            return
        log = self._settings.postgres_dir / "server.log"
        if self._revivals.are_in_vain("PostgreSQL", time.monotonic()):
            raise ServiceError(f"the embedded PostgreSQL dies again and again; {log} and {log}.1 say why")
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(log, f"{log}.1")  # the start begins it anew
        tell(f"the embedded PostgreSQL has died and is started again; see {log}.1")
        revive(self._settings)

    def _start(self, service: str) -> None:
        command = [sys.executable, "-m", "airflow", service]
        self._children[service] = processes.start(service, command, self._variables, self._log(service))
        self._write_down()

    def _log(self, service: str) -> Path:
        return self._settings.airflow_home / "logs" / f"{service}.log"

    def _write_down(self) -> None:
        state.write(self._settings, self.describe())
