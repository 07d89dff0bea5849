"""The admin site: one file per table, who may do what in `base`."""

from django.contrib import admin

from sessions_app.admin.api_tokens import ApiTokenAdmin
from sessions_app.admin.edit_sessions import EditSessionAdmin
from sessions_app.admin.ended_sessions import EndedSessionAdmin
from sessions_app.admin.items import ItemAdmin
from sessions_app.admin.log_in_page import LogInForm
from sessions_app.admin.places_in_line import PlaceInLineAdmin
from sessions_app.admin.servers import ConnectionAdmin, ServerProcessAdmin, SweeperProcessAdmin
from sessions_app.admin.users import UserPage
from sessions_app.admin.workstations import WorkstationAdmin

admin.site.site_header = "Silo Sessions"
admin.site.site_title = "Silo Sessions"
# The lists need the width; there are only a few of them.
admin.site.enable_nav_sidebar = False
admin.site.index_template = "admin/sessions_app/index.html"
admin.site.login_form = LogInForm
admin.site.login_template = "admin/sessions_app/log_in.html"
admin.site.index_title = "Who edits what, and who held what"

__all__ = [
    "ApiTokenAdmin",
    "ConnectionAdmin",
    "EditSessionAdmin",
    "EndedSessionAdmin",
    "ItemAdmin",
    "PlaceInLineAdmin",
    "ServerProcessAdmin",
    "SweeperProcessAdmin",
    "UserPage",
    "WorkstationAdmin",
]
