"""What a build is told of this machine: its package index and its certificate authorities."""

from collections.abc import Mapping

# Names under which tools are told of a bundle of certificate authorities, the most specific first.
_CERTIFICATE_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_INDEX_VARIABLES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")
_SECRET = "/run/secrets/ca"  # noqa: S105 - a path


def build_arguments(environment: Mapping[str, str]) -> list[str]:
    """Return options that hand this machine's package index and certificate authorities to a build, if it has any.

    They are for the build only: the certificates as a secret, which is in no layer, the rest as arguments of stages
    that no image consists of.
    """
    options = [f"--build-arg={name}={environment[name]}" for name in _INDEX_VARIABLES if environment.get(name)]
    bundle = certificate_bundle(environment)
    if bundle is not None:
        options += [f"--secret=id=ca,src={bundle}", f"--build-arg=PIP_CERT={_SECRET}"]
    return options


def certificate_bundle(environment: Mapping[str, str]) -> str | None:
    """Return the path of this machine's bundle of certificate authorities, if the environment names one."""
    return next((environment[name] for name in _CERTIFICATE_VARIABLES if environment.get(name)), None)


def pip_configuration(environment: Mapping[str, str], certificates: str | None) -> str:
    """Return a configuration file for pip with this machine's package index, for builds that take no arguments.

    Args:
        environment: the machine's.
        certificates: the path at which the build sees the certificate authorities.
    """
    settings = {name.removeprefix("PIP_").lower().replace("_", "-"): environment.get(name) for name in _INDEX_VARIABLES}
    settings["cert"] = certificates
    return "".join(["[global]\n", *(f"{name} = {value}\n" for name, value in settings.items() if value)])
