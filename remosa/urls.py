"""Every path of the product."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from automation.share_page import shared_case
from remosa import health, metrics

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
    path("api/", include("remosa.api_urls")),
    path("", include("exporters.urls")),
    path("hooks/sms/", include("sms.urls")),
    path("hooks/alerts/", include("automation.urls")),
    path("shared/cases/<str:key>/", shared_case, name="shared-case"),
    path("metrics", metrics.operator_metrics, name="metrics"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("healthz/worker", health.healthz_worker, name="healthz-worker"),
]

if settings.DEBUG:
    from django.contrib.staticfiles.urls import staticfiles_urlpatterns

    urlpatterns += staticfiles_urlpatterns()
