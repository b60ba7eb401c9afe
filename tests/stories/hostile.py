"""Names that try to be more than that, for whatever takes a name."""

SQL = "x'; drop table account; --"
JINJA = "{{ env_var('HOME') }}"
YAML = "*anchor &alias !!python/object/apply:os.system ['touch pwned']"
PATH = "../../pwned"
SHELL = "`touch pwned`; touch pwned & | touch pwned"
KINDS = {"SQL": SQL, "Jinja": JINJA, "YAML": YAML, "a path": PATH, "shell": SHELL}
"""One of each kind, where there is no time for all."""

PIECES = (
    SQL,
    'x"; drop schema crm cascade; --',
    "$(touch pwned)",
    SHELL,
    "..",
    PATH,
    "-rf --help",
    YAML,
    "key: value # comment",
    "two\nlines\n- item",
    "\x1b[31mred\x07",
    "<script>alert(1)</script> | [link](http://evil.example) **",
    "%s %(name)s {0} {name}",
    "snapshot; attach 'pwned' as p",
    "Ünï\u2028cödé \u202e",
    JINJA,
    "{% do run_query('drop schema crm cascade') %}",
    "{# note",
    "one\r\n",
    " account",
    "account\u2003",
)
"""Names of tables; each of the last six is refused by name."""
