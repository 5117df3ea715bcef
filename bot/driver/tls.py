"""Why a TLS connection as the database's URL requires it can't be made."""

import ssl

_REJECTED = "rejected SSL upgrade"
"""asyncpg's text if a server refuses TLS. There is no exception class for it."""

_OTHER_HOST = frozenset({62, 64})
_OUT_OF_DATE = frozenset({9, 10})
"""OpenSSL's codes: https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/"""


def problem(error: BaseException) -> str | None:
    """What the server does wrong, as a predicate and without its address; None for other errors."""
    match error:
        case ssl.SSLCertVerificationError(verify_code=code) if code in _OTHER_HOST:
            return "presents a certificate for another host than its URL names (see sslmode there)"
        case ssl.SSLCertVerificationError(verify_code=code) if code in _OUT_OF_DATE:
            return "presents a certificate that has expired or is not valid yet"
        case ssl.SSLCertVerificationError():
            return (
                "presents a certificate from an authority that the bot does not trust"
                " (see sslrootcert in its URL)"
            )
        case ssl.SSLError():
            reason = getattr(error, "reason", None) or "no reason given"
            return f"can't make a TLS connection with the bot ({reason})"
        case ConnectionError() if _REJECTED in str(error):
            return (
                "offers no TLS, which the sslmode of its URL requires (turn ssl on there, or use"
                " another sslmode), or isn't PostgreSQL"
            )
        case _:
            return None
