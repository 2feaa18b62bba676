"""Paths of the API."""

from django.urls import path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

urlpatterns = [
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("v1/auth/token/", TokenObtainPairView.as_view(), name="token"),
    path("v1/auth/token/refresh/", TokenRefreshView.as_view(), name="token-refresh"),
]
