"""Who applies what is rendered (S5.1).

Field names are the keys of the platform file; ``docs/reference/platform.md`` is made from this module.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator
from pydantic_core import PydanticCustomError

from croupier.model.base import Name, Value

GitAddress = Annotated[str, StringConstraints(pattern=r"^(https|ssh)://[^\s{}]+$", max_length=500)]
Branch = Annotated[str, StringConstraints(pattern=r"^[^\s~^:?*\[\\{}-][^\s~^:?*\[\\{}]*$", max_length=200)]
Folder = Annotated[
    str, StringConstraints(pattern=r"^(\.|[A-Za-z0-9_-][\w.-]*(/[A-Za-z0-9_-][\w.-]*)*)$", max_length=500)
]
ClusterName = Annotated[str, StringConstraints(pattern=r"^[^\s{}]{1,200}$")]


class GitOps(Value):
    """Who applies what is rendered, and from where (S5.1): the objects that tell it so are rendered, too."""

    tool: Literal["argocd", "flux"]
    """``argocd``: one ApplicationSet and a project for each cell and region; ``flux``: a GitRepository and
    Kustomizations for each region, whose cluster has a Flux of its own."""
    repository: GitAddress
    """Address of the Git repository with the manifests, like ``https://git.example/casino/deployments.git``."""
    branch: Branch = "main"
    path: Folder = "."
    """The folder in it that holds what is rendered."""
    name: Name = "platform"
    """Of the ApplicationSet or GitRepository."""
    namespace: Name | None = None
    """Where the tool runs. None: ``argocd`` or ``flux-system``."""
    clusters: Annotated[dict[Name, ClusterName], Field(default_factory=dict)]
    """Of ``argocd``: region -> what Argo CD calls its cluster, like ``in-cluster``. A region that is left out: its own
    name."""
    secret: Name | None = None
    """Of ``flux``: the Secret with the credentials of the repository. None: it needs none."""

    @field_validator("repository")
    @classmethod
    def _the_address_holds_no_password(cls, repository: str) -> str:
        user, is_given, _ = repository.partition("://")[2].partition("/")[0].rpartition("@")
        if is_given and (":" in user or repository.startswith("https:")):
            raise PydanticCustomError("repository", "a password does not belong here; the tool has it from elsewhere")
        if "?" in repository or "#" in repository:
            raise PydanticCustomError("repository", "the address ends before ? and #; a token does not belong here")
        return repository

    @model_validator(mode="after")
    def _keys_are_of_the_tool(self) -> Self:
        if self.tool == "flux" and self.clusters:
            raise PydanticCustomError("clusters", "clusters is for argocd: the Flux of a cluster knows no other")
        if self.tool == "argocd" and self.secret is not None:
            raise PydanticCustomError("secret", "secret is for flux: Argo CD has credentials in Secrets of its own")
        return self

    @property
    def runs_in(self) -> str:
        """The namespace of the tool."""
        return self.namespace or {"argocd": "argocd", "flux": "flux-system"}[self.tool]
