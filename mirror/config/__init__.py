"""`mirror.yaml` and its environment variables as one frozen value; every error with its place."""

from mirror.config.addresses import ListenAddress
from mirror.config.loading import load_config
from mirror.config.model import Auth, Cache, Config, Hosted, Log, Timeouts
from mirror.config.problems import ConfigError, Place, Problem
from mirror.config.upstream import Credentials, FreshnessRule, Upstream
from mirror.config.webhook import Webhook

__all__ = [
    "Auth",
    "Cache",
    "Config",
    "ConfigError",
    "Credentials",
    "FreshnessRule",
    "Hosted",
    "ListenAddress",
    "Log",
    "Place",
    "Problem",
    "Timeouts",
    "Upstream",
    "Webhook",
    "load_config",
]
