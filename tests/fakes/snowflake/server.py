"""The protocol that Snowflake's drivers speak, over HTTP on a free loopback port."""

import gzip
import json
import logging
import secrets
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.snowflake import auth
from tests.fakes.snowflake.bindings import bound
from tests.fakes.snowflake.errors import SnowflakeError
from tests.fakes.snowflake.session import Session
from tests.fakes.snowflake.words import Words

if TYPE_CHECKING:
    from tests.fakes.snowflake.emulator import Emulator

_LOG = logging.getLogger(__name__)


class Server(ThreadingHTTPServer):
    """Serves one emulator until it is closed; each connection in a thread of its own."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, emulator: "Emulator") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.emulator = emulator
        self.sessions: dict[str, Session] = {}
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def end_sessions(self) -> None:
        for token in list(self.sessions):
            self.sessions.pop(token).close()

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, *arguments: Any) -> None:
        """Say nothing: the emulator has its own log."""

    def do_GET(self) -> None:
        self._answer({"success": True, "data": None, "code": None, "message": None})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        url = urlsplit(self.path)
        asked = {key: values[0] for key, values in parse_qs(url.query).items()}
        content = json.loads(body) if body[:1] == b"{" else {}
        try:
            if url.path == "/session/v1/login-request":
                data = self._login(asked, content["data"])
            elif url.path == "/queries/v1/query-request":
                data = self._query(content)
            elif url.path == "/session":
                self._logout()
                data = None
            elif url.path == "/session/token-request":
                data = {"sessionToken": self._token(), "masterToken": self._token(), "validityInSecondsST": 3600}
            else:
                data = {}
        except SnowflakeError as error:
            failed = {"errorCode": error.code, "sqlState": error.state, "queryId": str(uuid.uuid4())}
            self._answer({"success": False, "code": error.code, "message": error.message, "data": failed})
        except Exception as error:  # noqa: BLE001 - whatever goes wrong here, the client is told
            _LOG.exception("the emulator failed")
            failed = {"errorCode": "000603", "sqlState": "XX000"}
            self._answer(
                {"success": False, "code": "000603", "message": f"The Snowflake emulator failed: {error!r}", "data": failed}
            )
        else:
            self._answer({"success": True, "code": None, "message": None, "data": data})

    def _answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _token(self) -> str:
        return str(self.headers.get("Authorization", "")).partition('"')[2].rstrip('"')

    def _login(self, asked: dict[str, str], data: dict[str, Any]) -> dict[str, Any]:
        """https://docs.snowflake.com/en/developer-guide/python-connector/python-connector-api"""
        emulator = self.server.emulator
        user = auth.authenticate(emulator.users, data)
        role = Words(asked["roleName"]).name()[-1] if asked.get("roleName") else user.role
        if role not in emulator.catalog.roles:
            raise SnowflakeError(
                "390189", "08001", f"Role '{role}' specified in the connect string does not exist or not authorized."
            )
        session = Session(emulator, emulator.connection.cursor(), user.name, role)
        warehouse, database, schema = (
            Words(asked[key]).name()[-1] if asked.get(key) else None for key in ("warehouse", "databaseName", "schemaName")
        )
        if warehouse in emulator.catalog.warehouses:
            session.warehouse = warehouse
        if database in emulator.catalog.databases:
            session.database = database
            known = emulator.catalog.databases[database].schemas
            session.schema = schema if schema in known else "PUBLIC" if schema is None and "PUBLIC" in known else None
        for name, value in (data.get("SESSION_PARAMETERS") or {}).items():
            session.parameters[name.upper()] = str(value)
        token = secrets.token_urlsafe()
        self.server.sessions[token] = session
        return {
            "token": token,
            "masterToken": token,
            "validityInSeconds": 3600,
            "masterValidityInSeconds": 14400,
            "displayUserName": user.name,
            "serverVersion": "9.99.0",
            "sessionId": session.number,
            "parameters": _parameters(),
            "sessionInfo": {
                "databaseName": session.database,
                "schemaName": session.schema,
                "warehouseName": session.warehouse,
                "roleName": session.role,
            },
        }

    def _logout(self) -> None:
        """A session that ends takes its transaction with it: https://docs.snowflake.com/en/sql-reference/transactions"""
        session = self.server.sessions.pop(self._token(), None)
        if session is not None:
            session.close()

    def _query(self, content: dict[str, Any]) -> dict[str, Any]:
        session = self.server.sessions.get(self._token())
        if session is None:
            raise SnowflakeError("390104", "08001", "Session token not found in the request data.")
        tag = (content.get("parameters") or {}).get("QUERY_TAG")
        session.last_query = str(uuid.uuid4())
        result = session.execute(bound(content["sqlText"], content.get("bindings") or {}), tag)
        return result.as_json() | {
            "parameters": _parameters(),
            "queryId": session.last_query,
            "sqlState": "00000",
            "finalDatabaseName": session.database,
            "finalSchemaName": session.schema,
            "finalWarehouseName": session.warehouse,
            "finalRoleName": session.role,
        }


def _parameters() -> list[dict[str, Any]]:
    known = {
        "TIMEZONE": "UTC",
        "AUTOCOMMIT": True,
        "CLIENT_TELEMETRY_ENABLED": False,
        "CLIENT_SESSION_KEEP_ALIVE": False,
        "CLIENT_STAGE_ARRAY_BINDING_THRESHOLD": 65280,
        "PYTHON_CONNECTOR_QUERY_RESULT_FORMAT": "ARROW",
    }
    return [{"name": name, "value": value} for name, value in known.items()]
