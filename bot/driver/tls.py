"""Why no TLS connection comes about as a database's URL asks for it."""

import ssl

_REJECTED = "rejected SSL upgrade"
"""asyncpg's words where a server answers no. There is no class for it."""

_OTHER_HOST = frozenset({62, 64})
_OUT_OF_DATE = frozenset({9, 10})
"""Codes of OpenSSL's: https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/"""


def problem(error: BaseException) -> str | None:
    """What the server does, as a predicate and without its address; None for anything else."""
    match error:
        case ssl.SSLCertVerificationError(verify_code=code) if code in _OTHER_HOST:
            return "shows a certificate of another host than its URL names (see sslmode there)"
        case ssl.SSLCertVerificationError(verify_code=code) if code in _OUT_OF_DATE:
            return "shows a certificate that has expired or is not valid yet"
        case ssl.SSLCertVerificationError():
            return (
                "shows a certificate of no authority that the bot was told to trust"
                " (see sslrootcert in its URL)"
            )
        case ssl.SSLError():
            reason = getattr(error, "reason", None) or "no reason given"
            return f"makes no TLS connection with the bot ({reason})"
        case ConnectionError() if _REJECTED in str(error):
            return (
                "offers no TLS, which the sslmode of its URL asks for (turn ssl on there, or take"
                " another sslmode), or is no PostgreSQL"
            )
        case _:
            return None
