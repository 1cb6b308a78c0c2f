"""The page's tabs, one a module."""
