"""The addresses that Django serves. Event streams and `alive` are routed before it, in `silo/asgi.py`."""

from django.contrib import admin
from django.urls import include, path

from board_app.pages.log_in import log_out_of_admin_site
from sessions_app.admin.log_in_page import change_password, log_in
from silo import health
from silo.api import api

urlpatterns = [
    path("health", health.health),
    path("ready", health.ready),
    path("admin/login/", log_in),
    path("admin/logout/", log_out_of_admin_site),
    path("admin/password_change/", admin.site.admin_view(change_password, cacheable=True)),
    path("admin/", admin.site.urls),
    path("api/", api.urls),
    path("client/", include("silo.client_pages")),
    path("", include("board_app.urls")),
]
