"""The connectors of the simulated Fivetran. Every name of a person, company or thing is invented.

Belongs here: which there are, and in what order they sync. Does not belong here: their tables (a module each).
"""

from history_assets.sandbox.salesforce import SALESFORCE
from history_assets.sandbox.shapes import Connector
from history_assets.sandbox.shop import SHOP_BILLING, SHOP_PUBLIC
from history_assets.sandbox.stripe import STRIPE
from history_assets.sandbox.zendesk import ZENDESK

CONNECTORS = (
    Connector("salesforce", "gleeful_harbour", "salesforce", {"salesforce": SALESFORCE}),
    Connector("zendesk", "winding_lantern", "zendesk", {"zendesk": ZENDESK}),
    Connector("stripe", "amber_quarry", "stripe", {"stripe": STRIPE}, idle=6),
    Connector("shop", "brisk_orchard", "postgres", {"shop_public": SHOP_PUBLIC, "shop_billing": SHOP_BILLING}),
)
"""The connections in the order in which their syncs start."""
