"""What goes wrong between this computer and the Hub, in one line each, with the fix."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import SmgError

_SERVER_DOWN = 500


def broken_transfer(error: Exception) -> bool:
    """Whether a request got no answer, or not all of it: worth another attempt."""
    from huggingface_hub import errors

    # The base class of the HTTP library in use, which another major version of huggingface_hub may have replaced.
    return isinstance(error, errors.HTTPError) and not isinstance(error, errors.HfHubHTTPError)


@contextmanager
def explained(name: str, writing: bool = False) -> Iterator[None]:
    """Turn the exceptions of huggingface_hub and of the file system into SmgError.

    Args:
        name: the model as the user wrote it.
        writing: it is being uploaded, not read.
    """
    try:
        yield
    except SmgError:
        raise
    except Exception as error:
        raise SmgError(_explain(error, name, writing)) from None


def _explain(error: Exception, name: str, writing: bool) -> str:
    from huggingface_hub import constants, errors

    if isinstance(error, errors.OfflineModeIsEnabled):
        if writing:
            return f"cannot upload {name!r} while HF_HUB_OFFLINE is set; unset it"
        return (
            f"model {name!r} is no directory, is not downloaded yet, and HF_HUB_OFFLINE is set; check the name, or "
            "unset it and try again"
        )
    if isinstance(error, errors.HfHubHTTPError):
        return _refused(error, name, writing)
    if broken_transfer(error):
        again = "" if writing else "; what has arrived is kept"
        return (
            f"{constants.ENDPOINT} cannot be reached, or the connection broke ({_reason(error)}){again}; check the "
            "network and run the command again"
        )
    if isinstance(error, errors.HFValidationError):
        return f"{name!r} is not a name on the Hub; use owner/name or owner/name@revision"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(name, constants.HF_HUB_CACHE)
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return f"{error.filename or constants.HF_HUB_CACHE}: cannot be written; make it writable or set HF_HOME"
    if isinstance(error, FileNotFoundError) and (missing := _missing_certificates()):
        return f"{missing}, for connections to {constants.ENDPOINT}; correct it or unset it"
    return f"could not {'upload' if writing else 'download'} model {name!r}: {_reason(error)}"


def _missing_certificates() -> str | None:
    """Which variable names a file of certificates that is not there; Python's own error does not tell."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"):
        if (path := os.environ.get(name)) and not os.path.exists(path):
            return f"{name} is {path!r}, and there is no such file"
    return None


def disk_full(name: str, directory: object) -> str:
    """The message for a model that does not fit on the disk."""
    return f"the disk of {directory} is too full for model {name!r}; free some space or set HF_HOME to another disk"


def _refused(error, name: str, writing: bool) -> str:
    """The Hub has answered, but not with what was asked for."""
    from huggingface_hub import constants, errors

    status = getattr(error.response, "status_code", 0)
    if isinstance(error, errors.GatedRepoError):
        return f"model {name!r} is gated on the Hub; ask for access on its page and set HF_TOKEN"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"model {name!r} has no such revision on the Hub; check what follows the @, or leave it out"
    if writing and (status in (401, 403) or isinstance(error, errors.RepositoryNotFoundError)):
        return f"the Hub does not let you write {name!r}; set HF_TOKEN to a token with write access to it"
    if isinstance(error, errors.RepositoryNotFoundError) or (status == 401 and not _bad_token(error)):
        return f"no directory and no Hub model is called {name!r}; check the name, or set HF_TOKEN if it is private"
    if status == 401:
        return f"the Hub does not accept your token (model {name!r}); set HF_TOKEN to a valid one or unset it"
    if status == 403:
        return f"the Hub refuses access to model {name!r}; check the permissions of the token in HF_TOKEN"
    if status == 429:
        return f"the Hub has had too many requests from here (model {name!r}); wait some minutes and try again"
    if status >= _SERVER_DOWN:
        return f"{constants.ENDPOINT} is out of order (status {status}, model {name!r}); try again later"
    return f"the Hub refused model {name!r}: {_reason(error)}"


def _bad_token(error) -> bool:
    return error.response.headers.get("X-Error-Message") == "Invalid credentials in Authorization header"


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
