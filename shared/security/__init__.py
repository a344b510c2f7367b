"""API keys: how they look, what they allow, where their digests are kept, and how the first ones are made."""

from shared.security.first import FirstKeys, first_keys
from shared.security.forms import GRANTS, key_id_of, mint, presented_key
from shared.security.keys import Created, Grant, Key, Keys, StoredKeys, Transaction, metadata
from shared.security.secrets import mint_secret, stored_secret

__all__ = [
    "GRANTS",
    "Created",
    "FirstKeys",
    "Grant",
    "Key",
    "Keys",
    "StoredKeys",
    "Transaction",
    "first_keys",
    "key_id_of",
    "metadata",
    "mint",
    "mint_secret",
    "presented_key",
    "stored_secret",
]
