"""Health of the installation, without detail: anyone may ask."""

from datetime import timedelta

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from remosa.lib.clock import utcnow

WORKER_SILENCE = timedelta(minutes=3)


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """The database answers and its tables are up to date."""
    try:
        executor = MigrationExecutor(connection)
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return JsonResponse({"status": "no database"}, status=503)
    if waiting:
        return JsonResponse({"status": "migrations wait"}, status=503)
    return JsonResponse({"status": "ok"})


@require_safe
def healthz_worker(request: HttpRequest) -> JsonResponse:
    """The queue's minute sweep ran a moment ago."""
    from automation.models import Heartbeat

    try:
        last = Heartbeat.objects.filter(name="sweep").values_list("at", flat=True).first()
    except DatabaseError:
        return JsonResponse({"status": "no database"}, status=503)
    if last is None or utcnow() - last > WORKER_SILENCE:
        return JsonResponse({"status": "silent"}, status=503)
    return JsonResponse({"status": "ok"})
