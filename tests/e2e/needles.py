"""The forms that a secret could have been written down in."""

import base64
import re
from dataclasses import dataclass

SHORTEST = 16
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----\n", re.DOTALL)
_LONG_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4}){40,}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


@dataclass(frozen=True)
class Needle:
    """Bytes that must not be found: the secret called `name`, in one form."""

    name: str
    form: str
    value: bytes


def needles_of(name: str, secret: bytes) -> list[Needle]:
    """The secret as it is, as hex, within base64 at each alignment; of PEM its lines and the midst of what they encode.

    What holds a PEM whole, in whichever form, holds a line of it in that form.
    """
    forms = {"whole": secret}
    if b"-----BEGIN" in secret:
        lines = [line for line in secret.splitlines() if line and not line.startswith(b"-----")]
        binary = base64.b64decode(b"".join(lines))
        forms = {f"line {number}": line for number, line in enumerate(lines)}
        forms["binary's midst"] = binary[len(binary) // 4 : -len(binary) // 4]
    for form, value in tuple(forms.items()):
        forms[f"hex of {form}"] = value.hex().encode()
        for shift in range(3):
            forms[f"base64 of {form}, {shift}"] = _inner_base64(value, shift)
    return [Needle(name, form, value) for form, value in forms.items() if len(value) >= SHORTEST]


def private_keys(content: bytes) -> list[bytes]:
    """The private keys, as PEM, that stand in a file, as they are or as the base64 that kubeconfigs have of them."""
    decoded = [base64.b64decode(found) for found in _LONG_BASE64.findall(content)]
    return [key for text in (content, *decoded) for key in _PRIVATE_KEY.findall(text)]


def _inner_base64(value: bytes, shift: int) -> bytes:
    """What base64 makes of `value` that comes `shift` bytes after a multiple of three, less what neighbours touch."""
    encoded = base64.b64encode(b"\0" * shift + value)
    return encoded[4 if shift else 0 : -4]
