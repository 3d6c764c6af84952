"""Turn results into pages and tables: each report is summarized as a dict first, rendered second.

All text that comes from data is hostile: it is spelled out with ``visible`` and escaped where it
enters a page.
"""
