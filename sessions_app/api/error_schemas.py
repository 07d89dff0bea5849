"""The shapes of errors that have members beside code and message; `answers.py` says which error has which."""

from ninja import Schema
from pydantic import Field

from sessions_app.payloads.members import WorkstationRef
from sessions_app.payloads.session import HeldItemOut, HolderOut


class ErrorOut(Schema):
    """Every error. Some have further members, such as `holder`."""

    error: str = Field(description="What went wrong, for programs.")
    message: str = Field(description="What went wrong, as a sentence for a person.")


class FaultOut(Schema):
    where: str = Field(description="The path to the invalid value.")
    why: str


class InvalidOut(ErrorOut):
    faults: list[FaultOut] = Field(
        [],
        description="All faults of the parameters and the body, up to a limit.",
        examples=[[{"where": "body.context_level", "why": "Field required"}]],
    )


class MissingOut(ErrorOut):
    renamed_to: str | None = Field(
        None, description="The item's present part number, if the item was renamed."
    )


class LimitReachedOut(ErrorOut):
    limit: int = Field(description="How many are permitted.", examples=[5000])
    held: int = Field(description="How many there are.", examples=[5000])


class IdentityInUseOut(ErrorOut):
    """The further members are in the answer to registering only, not in that to opening a stream."""

    workstation: WorkstationRef | None = Field(
        None,
        description="The workstation that both machines are.",
        examples=[WorkstationRef.example()],
    )
    connected: bool | None = Field(
        None,
        description="Whether the other machine is connected now. If not, it may come back: try again.",
        examples=[True],
    )
    seconds: float | None = Field(
        None,
        description="For how long a machine that has died may be taken for connected, or waited for. If a client is"
        " still refused after so long because another machine is connected, that machine lives.",
        examples=[45.0],
    )


class HeldOut(ErrorOut):
    holder: HolderOut = Field(
        description="The session that is in the way.", examples=[HolderOut.example()]
    )


class HeldByManyOut(ErrorOut):
    holders: list[HeldItemOut] = Field(
        description="All sessions that are in the way.", examples=[[HeldItemOut.example()]]
    )
