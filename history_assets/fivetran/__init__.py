"""Fivetran's syncs: values (``syncs``), what may be cloned beside them (``quiet``), and who tells of them (``sources``)."""
