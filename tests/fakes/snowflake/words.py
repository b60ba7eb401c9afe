"""Reading statements that sqlglot takes for opaque commands: one word after another."""

import re

from tests.fakes.snowflake.errors import syntax_error

_TOKEN = re.compile(
    r"""(?P<skip>\s+|--[^\n]*|//[^\n]*|/\*.*?\*/)|(?P<quoted>"(?:[^"]|"")*")|(?P<text>'(?:[^'\\]|''|\\.)*')
    |(?P<dollars>\$\$.*?\$\$)|(?P<word>[\w$]+)|(?P<sign>=>|::|.)""",
    re.VERBOSE | re.DOTALL,
)


class Words:
    """A statement's words, read from left to right."""

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self._tokens = [
            (match.lastgroup or "", match.group(), match.start())
            for match in _TOKEN.finditer(sql.strip())
            if match.lastgroup != "skip"
        ]
        while self._tokens and self._tokens[-1][1] == ";":
            self._tokens.pop()
        self.position = 0

    def peek(self) -> str:
        """Return the next word in upper case, or nothing at the end."""
        return self._tokens[self.position][1].upper() if self.position < len(self._tokens) else ""

    @property
    def ended(self) -> bool:
        return self.position >= len(self._tokens)

    def accept(self, *words: str) -> bool:
        """Step over words if exactly these come next."""
        coming = self._tokens[self.position : self.position + len(words)]
        if [token.upper() for kind, token, _ in coming if kind != "quoted"] != list(words):
            return False
        self.position += len(words)
        return True

    def expect(self, *words: str) -> None:
        if not self.accept(*words):
            raise syntax_error(f"syntax error line 1 at position 0 unexpected '{self.peek() or '<EOF>'}'.")

    def one_of(self, *words: str) -> str:
        """Step over one of several words and return it, or nothing."""
        return next((word for word in words if self.accept(*word.split())), "")

    def next(self) -> str:
        """Step over any word, and return it as it was written."""
        if self.ended:
            raise syntax_error("syntax error line 1 at position 0 unexpected '<EOF>'.")
        self.position += 1
        return self._tokens[self.position - 1][1]

    def name(self) -> tuple[str, ...]:
        """Step over a dotted name, and return its parts, exact."""
        parts = [self._part()]
        while self.accept("."):
            parts.append(self._part())
        return tuple(parts)

    def _part(self) -> str:
        kind, token = self._tokens[self.position][:2] if not self.ended else ("", "")
        if kind == "quoted":
            self.position += 1
            return token[1:-1].replace('""', '"')
        if kind == "word":
            if self.accept("IDENTIFIER", "("):
                inner = Words(self.string()).name()
                self.expect(")")
                return inner[-1]
            self.position += 1
            return token.upper()
        raise syntax_error(f"syntax error line 1 at position 0 unexpected '{token or '<EOF>'}'.")

    def string(self) -> str:
        """Step over a string, and return its value."""
        token = self.next()
        if token.startswith("$$"):
            return token[2:-2]
        if not token.startswith("'"):
            raise syntax_error(f"syntax error line 1 at position 0 unexpected '{token}'.")
        escapes = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}
        return re.sub(
            r"''|\\(.)",
            lambda found: "'" if found.group() == "''" else escapes.get(found.group(1), found.group(1)),
            token[1:-1],
            flags=re.DOTALL,
        )

    def number(self) -> int:
        token = self.next()
        if not token.isdigit():
            raise syntax_error(f"syntax error line 1 at position 0 unexpected '{token}'.")
        return int(token)

    def rest(self) -> str:
        """Return what has not been read, as it was written."""
        return "" if self.ended else self.sql.strip()[self._tokens[self.position][2] :]
