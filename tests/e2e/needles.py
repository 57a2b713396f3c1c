"""The forms that a secret could have been written down in."""

import base64
from dataclasses import dataclass

SHORTEST = 16


@dataclass(frozen=True)
class Needle:
    """Bytes that must not be found: the secret called `name`, in one form."""

    name: str
    form: str
    value: bytes


def needles_of(name: str, secret: bytes) -> list[Needle]:
    """The secret as it is, as hex, within base64 at each alignment; of PEM also the lines and the binary body."""
    forms = {"whole": secret}
    if b"-----BEGIN" in secret:
        lines = [line for line in secret.splitlines() if line and not line.startswith(b"-----")]
        body = base64.b64decode(b"".join(lines))
        forms |= {f"line {number}": line for number, line in enumerate(lines)}
        forms |= {"body": b"".join(lines), "binary": body, "binary's midst": body[len(body) // 4 : -len(body) // 4]}
    for form, value in tuple(forms.items()):
        forms[f"hex of {form}"] = value.hex().encode()
        for shift in range(3):
            forms[f"base64 of {form}, {shift}"] = _inner_base64(value, shift)
    return [Needle(name, form, value) for form, value in forms.items() if len(value) >= SHORTEST]


def _inner_base64(value: bytes, shift: int) -> bytes:
    """What base64 makes of `value` that comes `shift` bytes after a multiple of three, less what neighbours touch."""
    encoded = base64.b64encode(b"\0" * shift + value)
    return encoded[4 if shift else 0 : -4]
