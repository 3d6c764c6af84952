"""Label a sample of posts by hand, on a page that only this computer can open."""

from hostrisk.review.table import Agreement, Progress, Review, Verdict, open_review

__all__ = ["Agreement", "Progress", "Review", "Verdict", "open_review"]
