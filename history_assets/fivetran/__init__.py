"""What is known of Fivetran's syncs: values and decisions (``syncs``), read from the Platform Connector (``log``)."""
