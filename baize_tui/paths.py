"""Where files are stored: config, data, cache and logs, all below ``BAIZE_HOME`` if that is set."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from baize_shared.crash_log import APP_NAME, HOME_VARIABLE
from baize_shared.user_paths import expand_user


class Paths(Struct, frozen=True):
    """The four folders of the program; they need not exist yet."""

    config: Path
    data: Path
    cache: Path
    logs: Path

    @property
    def settings_file(self) -> Path:
        return self.config / "config.toml"

    @property
    def server_keys_file(self) -> Path:
        """Keys by host; written by the user."""
        return self.config / "server-keys.toml"

    @property
    def themes_folder(self) -> Path:
        return self.config / "themes"

    @property
    def personas_folder(self) -> Path:
        """Personas that the user wrote."""
        return self.config / "personas"

    @property
    def prompts_folder(self) -> Path:
        """Prompts that the user wrote."""
        return self.config / "prompts"

    @property
    def conversations_file(self) -> Path:
        return self.data / "conversations.db"

    @property
    def models_folder(self) -> Path:
        return self.data / "models"

    @property
    def default_model_file(self) -> Path:
        """Which model is the default while the settings name none."""
        return self.data / "default-model.json"

    @property
    def adapters_folder(self) -> Path:
        return self.models_folder / "adapters"

    @property
    def recipes_folder(self) -> Path:
        """Recipes that the user wrote."""
        return self.config / "models"

    @property
    def worker_log(self) -> Path:
        return self.logs / "worker.log"

    @property
    def snapshots_folder(self) -> Path:
        """What the KV cache held, by conversation."""
        return self.cache / "snapshots"

    @property
    def machine_profile_file(self) -> Path:
        """The machine profile that works here; missing as long as the fastest one works."""
        return self.cache / "machine-profile.json"

    @property
    def attention_file(self) -> Path:
        """What the trial of llama.cpp's two ways to compute attention has shown here."""
        return self.cache / "attention-trial.json"


def project_paths() -> Paths:
    """This user's folders: ``$BAIZE_HOME/{config,data,cache,logs}``, or the platform's own."""
    home = os.environ.get(HOME_VARIABLE)
    if home:
        root = expand_user(home).absolute()
        return Paths(root / "config", root / "data", root / "cache", root / "logs")
    import platformdirs

    dirs = platformdirs.PlatformDirs(APP_NAME, appauthor=False)
    return Paths(
        dirs.user_config_path, dirs.user_data_path, dirs.user_cache_path, dirs.user_log_path
    )
