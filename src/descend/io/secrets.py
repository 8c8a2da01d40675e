"""Remove passwords and keys from addresses, before they reach a record, a page or a message."""

from __future__ import annotations

import re

_PASSWORD = re.compile(r"([a-z][a-z0-9+.-]*://[^/?#\s:@']*):[^/?#\s@']*@", re.IGNORECASE)
_PARAMETER = re.compile(
    r"([?&;][^=&;#\s']*"
    r"(?:pass|secret|token|key|signature|credential|auth|sig)[^=&;#\s']*=)[^&;#\s']*",
    re.IGNORECASE,
)


def without_secrets(text: str) -> str:
    """A text in which addresses have no passwords, keys or tokens.

    What is left still says where something is, and is enough to find it again where the password
    comes from elsewhere, such as PGPASSWORD or ~/.pgpass.

    Example:
        >>> without_secrets("postgresql://ann:secret@host/db#flights")
        'postgresql://ann@host/db#flights'
        >>> without_secrets("https://host/t.csv?part=2&X-Amz-Signature=abc")
        'https://host/t.csv?part=2&X-Amz-Signature=***'
    """
    return _PARAMETER.sub(r"\1***", _PASSWORD.sub(r"\1@", text))
