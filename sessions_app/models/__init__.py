"""The tables of the domain, one file each."""

from sessions_app.models.abstract_edit_session import AbstractEditSession, ContextLevel
from sessions_app.models.api_token import ApiToken
from sessions_app.models.edit_session import EditSession
from sessions_app.models.ended_session import EndedSession, EndReason
from sessions_app.models.handoff_request import HandoffRequest
from sessions_app.models.item import FormerPartNumber, Item
from sessions_app.models.openid_account import OpenIdAccount
from sessions_app.models.place_in_line import PlaceInLine
from sessions_app.models.sweeper_process import SweeperProcess
from sessions_app.models.workstation import Workstation

__all__ = [
    "AbstractEditSession",
    "ApiToken",
    "ContextLevel",
    "EditSession",
    "EndReason",
    "EndedSession",
    "FormerPartNumber",
    "HandoffRequest",
    "Item",
    "OpenIdAccount",
    "PlaceInLine",
    "SweeperProcess",
    "Workstation",
]
