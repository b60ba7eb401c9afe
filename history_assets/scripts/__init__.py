"""Data scientists' own files as assets: read (``metadata``, ``folder``, ``links``), run (``environments``, ``process``,
``assets``), and when (``automation``).
"""
