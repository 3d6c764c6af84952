"""Host assessment: from the posts of a site to evidence on violent incitement there."""

from hostrisk.host.assessing import assess
from hostrisk.host.assessment import HostAssessment
from hostrisk.host.sampling import sample
from hostrisk.host.source.columns import Columns, load_columns
from hostrisk.host.tiers import HostPolicy, load_host_policy

__all__ = [
    "Columns", "HostAssessment", "HostPolicy", "assess", "load_columns", "load_host_policy",
    "sample",
]  # fmt: skip
