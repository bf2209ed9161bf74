"""Names of errors, for messages and signatures of rules."""

import errno


def errno_name(result: int) -> str:
    """ "success" for 0, else the errno's name."""
    return "success" if result == 0 else errno.errorcode.get(-result, str(result))


def errno_kind(result: int) -> str:
    """As :func:`errno_name`, for signatures: a number that is no errno is not told."""
    return errno_name(result) if result == 0 or -result in errno.errorcode else "no errno"
