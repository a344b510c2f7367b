"""Where the brokers are and who we are to them, from one address.

`kafka://host:port[,host:port…][?security_protocol=…&sasl_mechanism=…&sasl_username=…&sasl_password=…&ssl_cafile=…]`
"""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from shared.errors import WrongSetting

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
PARAMETERS = (
    "security_protocol",
    "sasl_mechanism",
    "sasl_username",
    "sasl_password",
    "ssl_cafile",
    "ssl_certfile",
    "ssl_keyfile",
)
DEFAULT_PORT = 9092


@dataclass(frozen=True, slots=True)
class Address:
    """The brokers to ask first, and what they want to know of us. The password never shows in a `repr`."""

    servers: tuple[str, ...]
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None

    def connection(self) -> dict[str, Any]:
        """The arguments that every client of aiokafka takes. Raises WrongSetting for files that cannot be used."""
        arguments: dict[str, Any] = {
            "bootstrap_servers": list(self.servers),
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol.startswith("SASL"):
            arguments["sasl_mechanism"] = self.sasl_mechanism
            arguments["sasl_plain_username"] = self.sasl_username
            arguments["sasl_plain_password"] = self.sasl_password
        if self.security_protocol.endswith("SSL"):
            arguments["ssl_context"] = self._context()
        return arguments

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ssl_cafile)
            if self.ssl_certfile:
                context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile)
        except OSError as error:  # ssl.SSLError is one, too
            raise _wrong(f"the certificates cannot be used ({error.strerror or error})") from error
        return context


def parse(url: str) -> Address:
    """The address that a `kafka://` text says. Raises WrongSetting that names the part that is wrong."""
    parts = urlsplit(url)
    if parts.scheme != "kafka":
        raise _wrong("must begin with kafka://")
    if "@" in parts.netloc:
        raise _wrong("a user belongs into ?sasl_username=…&sasl_password=…, not before the host")
    if parts.path not in ("", "/") or parts.fragment:
        raise _wrong(f"nothing may stand between the hosts and the ?, but there is {parts.path or parts.fragment!r}")
    given = _parameters(parts.query)
    address = Address(tuple(_server(one) for one in parts.netloc.split(",")), **given)
    _check(address, given)
    return address


def _server(text: str) -> str:
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host, port = text, str(DEFAULT_PORT)
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise _wrong(f"{text!r} is no host:port")
    return f"{host}:{port}"


def _parameters(query: str) -> dict[str, str]:
    given: dict[str, str] = {}
    # A plus is a plus here: passwords hold them, and nobody writes a space that way in an address.
    for name, value in parse_qsl(query.replace("+", "%2B"), keep_blank_values=True):
        if name not in PARAMETERS:
            raise _wrong(f"there is no parameter {name!r}; there are {', '.join(PARAMETERS)}")
        if name in given:
            raise _wrong(f"{name} is given twice")
        given[name] = value
    for name in ("security_protocol", "sasl_mechanism"):
        if name in given:
            given[name] = unquote(given[name]).upper()
    return given


def _check(address: Address, given: dict[str, str]) -> None:
    if address.security_protocol not in PROTOCOLS:
        raise _wrong(f"security_protocol is {address.security_protocol!r}, but must be one of {', '.join(PROTOCOLS)}")
    if address.sasl_mechanism not in MECHANISMS:
        raise _wrong(f"sasl_mechanism is {address.sasl_mechanism!r}, but must be one of {', '.join(MECHANISMS)}")
    secured = address.security_protocol.startswith("SASL")
    if secured and not (address.sasl_username and address.sasl_password):
        raise _wrong(f"security_protocol={address.security_protocol} needs sasl_username and sasl_password")
    if not secured and any(name.startswith("sasl_") for name in given):
        raise _wrong("sasl_… needs security_protocol=SASL_SSL (or SASL_PLAINTEXT)")
    if not address.security_protocol.endswith("SSL") and any(name.startswith("ssl_") for name in given):
        raise _wrong("ssl_… needs security_protocol=SSL or SASL_SSL")
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
        if name in given and not Path(given[name]).is_file():
            raise _wrong(f"{name}: there is no file {given[name]}")


def _wrong(what: str) -> WrongSetting:
    return WrongSetting(f"CARTERA_LOG_URL: {what}")
