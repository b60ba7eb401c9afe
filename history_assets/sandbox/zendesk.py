"""The invented Zendesk: users, tickets, their tags that come and go, and a log of their fields.

Belongs here: its tables and habits. Does not belong here: what it has in common with others (``invented``).
"""

from collections.abc import Iterator

from history_assets.sandbox.invented import CITIES, TAGS, YES_NO, email, moment, number_id, person
from history_assets.sandbox.shapes import Column, Draw, Row, Table

_SUBJECT = ("Invoice looks wrong", "Can't log in", "Où est ma commande ?", "Feature idea 💡", "App läuft langsam")
_BODY = ("Thanks, that worked!", 'It says "error 42".', "Could you look into it?\nRegards", "Ça marche, merci ✅", "")
_TICKET, _PERSON = 10_000, 370_000_000_000


def _field_history(_: Draw, before: Row | None, after: Row) -> Iterator[Row]:
    for field in ("status", "priority", "assignee_id"):
        value = None if after[field] is None else str(after[field])
        if before[field] != after[field] if before else value:
            yield {"ticket_id": after["id"], "field_name": field, "updated": after["updated_at"], "value": value}


ZENDESK = (
    Table("user", rows=80, grow=3, edit=4, resync=5).of(
        number_id(_PERSON),
        Column("name", "VARCHAR", person),
        Column("email", "VARCHAR", email, drift=True, blank=0.1),
        Column("role", "VARCHAR", "agent admin end-user", drift=True),
        Column("active", "BOOLEAN", YES_NO, drift=True),
        Column("time_zone", "VARCHAR", CITIES, blank=0.2),
        moment("created_at"),
        moment("updated_at", touched=True),
    ),
    Table("ticket", rows=200, grow=8, edit=20, drop=2, deleted="_fivetran_deleted").of(
        number_id(_TICKET),
        Column("subject", "VARCHAR", _SUBJECT),
        Column("status", "VARCHAR", "new open pending hold solved closed", drift=True),
        Column("priority", "VARCHAR", "low normal high urgent", drift=True, blank=0.3),
        Column("requester_id", "BIGINT", lambda d: _PERSON + d.row_of("user")),
        Column("assignee_id", "BIGINT", lambda d: _PERSON + d.row_of("user"), drift=True, blank=0.2),
        moment("created_at"),
        moment("updated_at", touched=True),
    ),
    Table("ticket_tag", rows=300, drop=6, key=("tag", "ticket_id"), recurs=True).of(
        Column("tag", "VARCHAR", lambda d: TAGS.split()[d.number % 10]),
        Column("ticket_id", "BIGINT", lambda d: _TICKET + (d.number + 1) // 2),
    ),
    Table("ticket_field_history", key=("ticket_id", "field_name", "updated"), follows=("ticket", _field_history)).of(
        Column("ticket_id", "BIGINT"),
        Column("field_name", "VARCHAR"),
        Column("updated", "TIMESTAMPTZ"),
        Column("value", "VARCHAR"),
        Column("user_id", "BIGINT", lambda d: _PERSON + d.row_of("user"), blank=0.1),
    ),
    Table("ticket_comment", rows=300, grow=15, edit=1).of(
        number_id(_PERSON),
        Column("ticket_id", "BIGINT", lambda d: _TICKET + d.row_of("ticket")),
        Column("user_id", "BIGINT", lambda d: _PERSON + d.row_of("user")),
        Column("body", "VARCHAR", _BODY),
        Column("public", "BOOLEAN", YES_NO, drift=True),
        moment("created"),
    ),
)
