"""The tables of the ledger.

Written only by activities, but for the one QUEUED row a client inserts. Current state is derived: a host's is the
state of its latest `host_runs` row, a host without a row is PENDING (NOT_STARTED once the deployment is closed).
Lock order, so that no two transactions wait for each other: advisory lock, deployments, leases by asset, host_runs.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, ForeignKey, Identity, Index, Sequence, Text, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# One sequence for all hosts and deployments: a target only ever compares numbers, and must never see one twice.
FENCES = Sequence("fences", data_type=BigInteger)


def fits_id(value: int | str) -> bool:
    """Whether `value` can be an id at all: the server answers a number its column cannot hold with an error of its
    own, which says neither whose it is nor that there is no such thing."""
    return (isinstance(value, int) or value.isdecimal()) and 0 < int(value) < 2**31


class Base(DeclarativeBase):
    type_annotation_map = {
        dict[str, Any]: JSONB(none_as_null=True),
        list[dict[str, Any]]: JSONB,
        list[str]: ARRAY(Text),
        str: Text,
        datetime: DateTime(timezone=True),
    }


class AssetRow(Base):
    __tablename__ = "assets"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    address: Mapped[str]
    port: Mapped[int]
    user: Mapped[str]
    connection: Mapped[str]
    platform: Mapped[str]
    labels: Mapped[dict[str, Any]]
    services: Mapped[list[dict[str, Any]]]
    host_key: Mapped[str]
    credential: Mapped[str]  # a reference, never the secret
    imported_at: Mapped[datetime] = mapped_column(server_default=func.now())


class PatchRow(Base):
    __tablename__ = "patches"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    title: Mapped[str]
    cves: Mapped[list[str]]
    severity: Mapped[str]
    platforms: Mapped[dict[str, Any]]
    service: Mapped[str | None]
    imported_at: Mapped[datetime] = mapped_column(server_default=func.now())


class DeploymentRow(Base):
    __tablename__ = "deployments"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    # Both null between the client's insert and its own update with the id that the database gave.
    workflow_id: Mapped[str | None]
    first_run_id: Mapped[str | None]
    strategy: Mapped[str]
    patch_id: Mapped[int] = mapped_column(ForeignKey("patches.id"))
    request: Mapped[dict[str, Any]]
    requested_by: Mapped[str]
    state: Mapped[str]
    message: Mapped[str] = mapped_column(server_default="")
    control: Mapped[str] = mapped_column(server_default="run")
    control_sequence: Mapped[int] = mapped_column(server_default="0")
    state_write: Mapped[int] = mapped_column(server_default="0")
    attempt: Mapped[int] = mapped_column(server_default="1")
    plan: Mapped[dict[str, Any] | None]
    plan_hash: Mapped[str | None]
    last_offset: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    __table_args__ = (
        UniqueConstraint("workflow_id", "first_run_id"),
        Index("deployments_open", "id", postgresql_where=text("finished_at is null")),
    )


class AttemptRow(Base):
    """An attempt of a deployment: the first, and one more for each retry."""

    __tablename__ = "attempts"
    deployment_id: Mapped[int] = mapped_column(ForeignKey("deployments.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())


class PlanHostRow(Base):
    __tablename__ = "plan_hosts"
    deployment_id: Mapped[int] = mapped_column(ForeignKey("deployments.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    wave: Mapped[int]
    asset_id: Mapped[int] = mapped_column(ForeignKey("assets.id"))
    __table_args__ = (UniqueConstraint("deployment_id", "asset_id"),)


class BatchRow(Base):
    """One scheduled `apply_batch`; `attempt` and what follows are of its newest try."""

    __tablename__ = "batches"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    deployment_id: Mapped[int] = mapped_column(ForeignKey("deployments.id"))
    activity: Mapped[str]  # run id and activity id: the same for each try of one scheduled activity
    attempt: Mapped[int]
    worker: Mapped[str]  # machine, boot, pid and start time of the worker process
    task_token: Mapped[bytes]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[datetime | None]
    __table_args__ = (UniqueConstraint("deployment_id", "activity"),)


class HostRunRow(Base):
    """One claim of one host. A row is closed once and never opened again."""

    __tablename__ = "host_runs"
    fence: Mapped[int] = mapped_column(BigInteger, FENCES, primary_key=True, server_default=FENCES.next_value())
    deployment_id: Mapped[int] = mapped_column(ForeignKey("deployments.id"))
    asset_id: Mapped[int] = mapped_column(ForeignKey("assets.id"))
    attempt: Mapped[int]  # of the deployment
    batch_id: Mapped[int | None] = mapped_column(ForeignKey("batches.id"))
    batch_attempt: Mapped[int] = mapped_column(server_default="0")
    kind: Mapped[str] = mapped_column(server_default="patch")
    state: Mapped[str]  # a HostState, or ABANDONED where a later claim took over
    latest: Mapped[bool] = mapped_column(server_default=text("true"))
    message: Mapped[str] = mapped_column(server_default="")
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    finished_at: Mapped[datetime | None]
    __table_args__ = (
        Index("host_runs_latest", "deployment_id", "asset_id", unique=True, postgresql_where=text("latest")),
        # A claim counts hosts in hand and hosts broken; both are few, whatever the size of the fleet.
        Index("host_runs_by_state", "deployment_id", "state", postgresql_where=text("latest")),
        Index("host_runs_by_asset", "asset_id", "deployment_id"),
    )


# Joins a planned host to its current run; a host that no run ever took has none.
LATEST_RUN = (
    (HostRunRow.deployment_id == PlanHostRow.deployment_id)
    & (HostRunRow.asset_id == PlanHostRow.asset_id)
    & HostRunRow.latest
)


class EventRow(Base):
    """The story of a deployment. Offsets are allotted under the deployment's row lock: a reader that resumes at an
    offset would lose rows that a bare sequence numbered early and committed late."""

    __tablename__ = "events"
    deployment_id: Mapped[int] = mapped_column(ForeignKey("deployments.id"), primary_key=True)
    offset: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    kind: Mapped[str]  # state, verb, host, task, plan
    asset_id: Mapped[int | None] = mapped_column(ForeignKey("assets.id"))
    message: Mapped[str]
    data: Mapped[dict[str, Any] | None]


class LeaseRow(Base):
    """A host belongs to one deployment at a time (rule 18). A lease lives as long as its deployment."""

    __tablename__ = "leases"
    asset_id: Mapped[int] = mapped_column(ForeignKey("assets.id"), primary_key=True)
    deployment_id: Mapped[int] = mapped_column(ForeignKey("deployments.id"))
    taken_at: Mapped[datetime] = mapped_column(server_default=func.now())
    __table_args__ = (Index("leases_by_deployment", "deployment_id"),)


class QueueRow(Base):
    """A deployment that waits for, or holds (`admitted_at`), one of the slots."""

    __tablename__ = "queue"
    deployment_id: Mapped[int] = mapped_column(ForeignKey("deployments.id"), primary_key=True)
    enqueued_at: Mapped[datetime] = mapped_column(server_default=func.now())
    admitted_at: Mapped[datetime | None]
